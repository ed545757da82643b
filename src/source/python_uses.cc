#include "source/python_uses.h"

#include <algorithm>

#include "source/python_imports.h"
#include "source/python_tokens.h"
#include "source/word_uses.h"

namespace lotse {
namespace {

std::vector<Token> without_comments(std::vector<Token> tokens) {
  std::erase_if(tokens, [](const Token& token) { return token.kind == TokenKind::comment; });
  return tokens;
}

class Reader {
 public:
  Reader(std::string_view file, bool is_setup, const UseSink& sink)
      : file_(file),
        sink_(sink),
        is_setup_(is_setup),
        tokens_(without_comments(python_tokens(file))),
        imports_(file, tokens_) {}

  PythonFile run() {
    for (const Use& use : imports_.uses()) sink_(use);
    for (size_t i = 0; i < tokens_.size();) {
      const size_t past = imports_.past_import(i);
      i = past > i ? past : step(i);
    }
    PythonFile facts;
    facts.torch_import = imports_.first_import_of("torch");
    for (const auto& statement : imports_.statements()) {
      facts.has_torch_npu = facts.has_torch_npu || statement.module == "torch_npu";
    }
    return facts;
  }

 private:
  bool is(size_t i, std::string_view text) const {
    return i < tokens_.size() && text_of(file_, tokens_[i]) == text;
  }
  bool is_kind(size_t i, TokenKind kind) const {
    return i < tokens_.size() && tokens_[i].kind == kind;
  }
  Span span(size_t i) const { return {tokens_[i].begin, tokens_[i].end}; }
  std::string_view text(size_t i) const { return text_of(file_, tokens_[i]); }

  bool after_statement(size_t i) const {
    if (i == 0) return true;
    const TokenKind kind = tokens_[i - 1].kind;
    return kind == TokenKind::newline || kind == TokenKind::indent || kind == TokenKind::dedent;
  }

  size_t step(size_t i) {
    track_brackets(i);
    switch (tokens_[i].kind) {
      case TokenKind::name:
        return chain(i);
      case TokenKind::string:
        return string(i);
      case TokenKind::text_begin:
        return formatted(i);
      default:
        break;
    }
    if (is(i, "@") && after_statement(i)) return decorator(i);
    return i + 1;
  }

  // Remembers whose arguments the open brackets hold.
  void track_brackets(size_t i) {
    if (tokens_[i].kind != TokenKind::op) return;
    if (is(i, "(") || is(i, "[") || is(i, "{")) {
      const bool called = is(i, "(") && i > 0 && is_kind(i - 1, TokenKind::name);
      callees_.push_back(called ? text(i - 1) : std::string_view());
    } else if ((is(i, ")") || is(i, "]") || is(i, "}")) && !callees_.empty()) {
      callees_.pop_back();
    }
  }

  size_t chain_end(size_t i) const {
    while (is(i + 1, ".") && is_kind(i + 2, TokenKind::name)) i += 2;
    return i;
  }

  // The use that the chain of names from `first` to `last` makes; nothing where its root was not
  // imported.
  std::optional<Use> resolved(size_t first, size_t last) const {
    const Binding* root = imports_.find(text(first), tokens_[first].begin);
    if (root == nullptr) return std::nullopt;
    Use use{.place = Place::python_name};
    for (const std::string& part : root->target) {
      if (!use.text.empty()) use.text += '.';
      use.text += part;
      use.parts.push_back({});
    }
    if (root->is_last_part) use.parts.back() = span(first);
    for (size_t part = first + 2; part <= last; part += 2) {
      use.text += '.';
      use.text += text(part);
      use.parts.push_back(span(part));
    }
    use.span = {tokens_[first].begin, tokens_[last].end};
    use.import = root->import;
    return use;
  }

  size_t chain(size_t first) {
    const size_t last = chain_end(first);
    const bool attribute = first > 0 && is(first - 1, ".");
    if (!attribute) {
      keyword(first, last);
      const std::optional<Use> use = resolved(first, last);
      if (use && sink_(*use)) return last + 1;
    }
    for (size_t i = attribute ? first : first + 2; i <= last; i += 2) {
      Use use{.place = Place::python_member, .text = std::string(text(i)), .span = span(i)};
      use.parts = {use.span};
      if (is(i + 1, "(")) use.text += "()";
      sink_(use);
    }
    return last + 1;
  }

  // name=value inside a call.
  void keyword(size_t first, size_t last) {
    if (last != first || !is(first + 1, "=") || callees_.empty()) return;
    if (first == 0 || (!is(first - 1, "(") && !is(first - 1, ","))) return;
    Use use{.place = Place::python_keyword, .text = std::string(text(first)) + "="};
    use.span = span(first);
    if (is(first + 3, ",") || is(first + 3, ")")) {
      std::string_view value = text(first + 2);
      if (is_kind(first + 2, TokenKind::string)) value = content(first + 2).second;
      use.text += value;
      use.span.end = tokens_[first + 2].end;
    }
    sink_(use);
  }

  // @triton.jit before `def kernel`.
  size_t decorator(size_t at) {
    if (!is_kind(at + 1, TokenKind::name)) return at + 1;
    const size_t last = chain_end(at + 1);
    std::optional<Use> use = resolved(at + 1, last);
    if (!use) return at + 1;
    use->place = Place::python_decorator;
    use->shown = "@" + std::string(file_.substr(use->span.begin, use->span.end - use->span.begin));
    constexpr size_t kFarthest = 400;
    for (size_t i = last + 1; i < tokens_.size() && i - last < kFarthest; ++i) {
      if (!is(i, "def") || !is_kind(i + 1, TokenKind::name)) continue;
      use->shown += " " + std::string(text(i + 1));
      break;
    }
    return sink_(*use) ? last + 1 : at + 1;
  }

  // Where the content of a string token begins, and the content.
  std::pair<uint32_t, std::string_view> content(size_t i) const {
    const std::string_view whole = text(i);
    const size_t quote = whole.find_first_of("'\"");
    const bool triple = whole.substr(quote + 1).starts_with(std::string(2, whole[quote]));
    const size_t size = triple && whole.size() >= quote + 6 ? 3 : 1;
    if (whole.size() < quote + 2 * size) return {tokens_[i].end, {}};
    return {static_cast<uint32_t>(tokens_[i].begin + quote + size),
            whole.substr(quote + size, whole.size() - quote - 2 * size)};
  }

  size_t string(size_t i) {
    const bool documentation = after_statement(i) && is_kind(i + 1, TokenKind::newline);
    if (documentation) return i + 1;
    const auto [begin, value] = content(i);
    Use use{.place = Place::python_string, .text = std::string(value)};
    use.span = {begin, static_cast<uint32_t>(begin + value.size())};
    emit_string(std::move(use));
    return i + 1;
  }

  void emit_string(Use use) {
    if (use.text.empty()) return;
    if (!callees_.empty()) use.callee = callees_.back();
    constexpr size_t kShown = 60;
    if (use.text.size() > kShown) use.shown = "\"" + use.text.substr(0, kShown) + "...\"";
    if (use.shown.empty()) use.shown = "\"" + use.text + "\"";
    if (sink_(use)) return;
    use.place = Place::env;
    use.shown = use.text.substr(0, kShown);
    if (sink_(use) || !is_setup_) return;
    use.place = Place::package;
    use.text = package_name(use.text);
    sink_(use);
  }

  // f"cuda:{rank}" is the string "cuda:{}". Its fields are read as code after it.
  size_t formatted(size_t i) {
    Use use{.place = Place::python_string};
    use.span = {tokens_[i].end, tokens_[i].end};
    constexpr size_t kFarthest = 256;
    size_t depth = 1;
    for (size_t j = i + 1; j < tokens_.size() && depth > 0 && j - i < kFarthest; ++j) {
      const TokenKind kind = tokens_[j].kind;
      if (kind == TokenKind::text_begin) ++depth;
      if (kind == TokenKind::text_end) --depth;
      const bool own = depth == 1 && tokens_[j - 1].kind != TokenKind::op;
      if (kind == TokenKind::text && (own || is(j - 1, "}"))) {
        use.text += text(j);
        use.span.end = tokens_[j].end;
      } else if (depth == 1 && is(j, "{") &&
                 (tokens_[j - 1].kind == TokenKind::text || j == i + 1 || is(j - 1, "}"))) {
        use.text += "{}";
      }
    }
    emit_string(std::move(use));
    return i + 1;
  }

  std::string_view file_;
  const UseSink& sink_;
  bool is_setup_;
  std::vector<Token> tokens_;
  Imports imports_;
  std::vector<std::string_view> callees_;
};

}  // namespace

PythonFile read_python(std::string_view file, bool is_setup, const UseSink& sink) {
  return Reader(file, is_setup, sink).run();
}

}  // namespace lotse
