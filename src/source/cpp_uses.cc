#include "source/cpp_uses.h"

#include <algorithm>
#include <array>

#include "source/cpp_tokens.h"

namespace lotse {
namespace {

class Reader {
 public:
  Reader(std::string_view file, bool is_cuda, const UseSink& sink)
      : file_(file), sink_(sink), is_cuda_(is_cuda) {
    for (const Token& token : cpp_tokens(file)) {
      if (token.kind != TokenKind::comment) tokens_.push_back(token);
    }
    match_brackets();
  }

  void run() {
    for (size_t i = 0; i < tokens_.size();) i = step(i);
  }

 private:
  bool is(size_t i, std::string_view text) const {
    return i < tokens_.size() && text_of(file_, tokens_[i]) == text;
  }
  bool is_name(size_t i) const { return i < tokens_.size() && tokens_[i].kind == TokenKind::name; }
  Span span(size_t first, size_t last) const { return {tokens_[first].begin, tokens_[last].end}; }

  // CUTLASS hides __device__ behind macros of its own.
  static bool tells_of_cuda(std::string_view name) {
    return name == "__global__" || name == "__device__" || name == "cutlass" ||
           name == "threadIdx" || name.starts_with("CUTLASS_") || name.starts_with("CUTE_");
  }

  // For every "(" the number of arguments, for every token the innermost "(" around it.
  void match_brackets() {
    arguments_.assign(tokens_.size(), -1);
    enclosing_.assign(tokens_.size(), -1);
    std::vector<int64_t> open;
    int64_t parenthesis = -1;
    std::vector<int64_t> outside;  // of each open bracket
    for (size_t i = 0; i < tokens_.size(); ++i) {
      enclosing_[i] = parenthesis;
      if (!open.empty() && arguments_[static_cast<size_t>(open.back())] == 0) {
        const bool closes = is(i, ")") || is(i, "]") || is(i, "}");
        if (!closes) arguments_[static_cast<size_t>(open.back())] = 1;
      }
      if (is(i, "(") || is(i, "[") || is(i, "{")) {
        arguments_[i] = 0;
        open.push_back(static_cast<int64_t>(i));
        outside.push_back(parenthesis);
        if (is(i, "(")) parenthesis = static_cast<int64_t>(i);
      } else if ((is(i, ")") || is(i, "]") || is(i, "}")) && !open.empty()) {
        parenthesis = outside.back();
        open.pop_back();
        outside.pop_back();
      } else if (is(i, ",") && !open.empty()) {
        ++arguments_[static_cast<size_t>(open.back())];
      }
      is_cuda_ = is_cuda_ || (is_name(i) && tells_of_cuda(text_of(file_, tokens_[i])));
    }
  }

  size_t step(size_t i) {
    const Token& token = tokens_[i];
    if (token.kind == TokenKind::directive) return directive(i);
    if (token.kind == TokenKind::string) return string(i);
    if (is(i, "<<<")) return launch(i);
    if (token.kind != TokenKind::name) return i + 1;
    if (is(i, "__global__")) return kernel(i);
    if (is(i, "asm") || is(i, "__asm__") || is(i, "__asm")) return assembly(i);
    return qualified(i);
  }

  size_t directive(size_t i) {
    if (!is(i + 1, "include") && !is(i + 1, "include_next")) return i + 1;
    if (i + 2 >= tokens_.size()) return i + 2;
    const Token& path = tokens_[i + 2];
    if (path.kind != TokenKind::header && path.kind != TokenKind::string) return i + 2;
    if (path.end - path.begin < 3) return i + 3;
    Use use{.place = Place::cpp_include};
    use.span = {path.begin + 1, path.end - 1};
    use.text = file_.substr(use.span.begin, use.span.end - use.span.begin);
    sink_(use);
    return i + 3;
  }

  // The name of the function whose argument token `i` is.
  std::string callee(size_t i) const {
    const int64_t open = enclosing_[i];
    if (open <= 0 || !is_name(static_cast<size_t>(open - 1))) return "";
    return cpp_spelling(file_, tokens_[static_cast<size_t>(open - 1)]);
  }

  size_t string(size_t i) {
    const std::string_view text = text_of(file_, tokens_[i]);
    const size_t quote = text.find('"');
    if (quote + 2 > text.size() || text.substr(0, quote).ends_with('R')) return i + 1;
    Use use{.place = Place::cpp_string};
    use.text = text.substr(quote + 1, text.size() - quote - 2);
    use.span = {static_cast<uint32_t>(tokens_[i].begin + quote + 1), tokens_[i].end - 1};
    use.callee = callee(i);
    if (sink_(use)) return i + 1;
    use.place = Place::env;
    sink_(use);
    return i + 1;
  }

  // a::b::c, or a member after "." or "->".
  size_t qualified(size_t i) {
    size_t last = i;
    while (is(last + 1, "::") && is_name(last + 2)) last += 2;
    const bool member = i > 0 && last == i && (is(i - 1, ".") || is(i - 1, "->"));
    Use use{.place = member ? Place::cpp_member : Place::cpp_name};
    for (size_t part = i; part <= last; part += 2) {
      if (part > i) use.text += "::";
      use.text += cpp_spelling(file_, tokens_[part]);
      use.parts.push_back(span(part, part));
    }
    use.span = span(i, last);
    if (is(last + 1, "(")) use.arguments = arguments_[last + 1];
    if (member && use.arguments >= 0) use.text += "()";
    sink_(use);
    return last + 1;
  }

  // __global__ void __launch_bounds__(256) name(…): the name is the last before a parenthesis that
  // no attribute owns.
  size_t kernel(size_t i) {
    constexpr size_t kFarthest = 64;
    const size_t end = std::min(i + kFarthest, tokens_.size());
    for (size_t j = i + 1; j + 1 < end; ++j) {
      if (is(j, ";") || is(j, "{")) break;
      if (!is_name(j) || !is(j + 1, "(")) continue;
      if (is(j, "__launch_bounds__") || is(j, "__attribute__") || is(j, "__cluster_dims__")) {
        continue;
      }
      Use use{.place = Place::cpp_kernel, .text = cpp_spelling(file_, tokens_[j])};
      use.span = span(j, j);
      use.shown = "__global__ " + use.text;
      sink_(use);
      break;
    }
    return i + 1;
  }

  // kernel<<<grid, block>>>(…) and kernel<int, f<2>><<<grid, block>>>(…).
  size_t launch(size_t i) {
    const std::optional<size_t> name = launched(i);
    if (!name || !closes(i)) return i + 1;
    Use use{.place = Place::cpp_launch, .text = cpp_spelling(file_, tokens_[*name])};
    use.span = span(*name, i);
    use.shown = use.text + "<<<...>>>";
    sink_(use);
    return i + 1;
  }

  // The name before "<<<" at `i`, past template arguments.
  std::optional<size_t> launched(size_t i) const {
    constexpr size_t kFarthest = 256;
    size_t depth = 0;
    for (size_t j = i; j > 0 && i - j < kFarthest; --j) {
      const size_t token = j - 1;
      if (is(token, ">")) {
        ++depth;
      } else if (is(token, "<<<")) {
        return std::nullopt;
      } else if (is(token, "<") && depth > 0) {
        --depth;
      } else if (depth == 0) {
        return is_name(token) ? std::optional(token) : std::nullopt;
      }
    }
    return std::nullopt;
  }

  // Whether ">>>(" follows with a configuration of two to four arguments between. It tells a launch
  // from merge markers, and its ">>>" from nested templates that end in three.
  bool closes(size_t i) const {
    constexpr size_t kFarthest = 1024;
    size_t depth = 0;
    size_t commas = 0;
    for (size_t j = i + 1; j < tokens_.size() && j - i < kFarthest; ++j) {
      if (is(j, "(") || is(j, "[") || is(j, "{")) {
        ++depth;
      } else if (is(j, ")") || is(j, "]") || is(j, "}")) {
        if (depth == 0) return false;
        --depth;
      } else if (is(j, "<<<") || (is(j, ";") && depth == 0)) {
        return false;
      } else if (is(j, ",") && depth == 0) {
        ++commas;
      } else if (depth == 0 && commas > 0 && is(j, ">") && is(j + 1, ">") && is(j + 2, ">") &&
                 is(j + 3, "(")) {
        return true;
      }
    }
    return false;
  }

  // asm volatile("…" "…" : …): its strings up to the first ":".
  size_t assembly(size_t i) {
    constexpr size_t kFarthest = 512;
    size_t j = i + 1;
    while (is(j, "volatile") || is(j, "__volatile__") || is(j, "goto") || is(j, "inline")) ++j;
    if (!is_cuda_ || (!is(j, "(") && !is(j, "{"))) return i + 1;
    Use use{.place = Place::cpp_asm};
    for (++j; j < tokens_.size() && j - i < kFarthest && !is(j, ":") && !is(j, ")"); ++j) {
      const std::string_view text = text_of(file_, tokens_[j]);
      if (tokens_[j].kind == TokenKind::string && text.size() >= 2) {
        use.text += text.substr(1, text.size() - 2);
      }
    }
    use.span = span(i, i);
    use.shown = "asm " + opcode(use.text);
    sink_(use);
    return j;
  }

  // The first instruction of PTX: "{ .reg .pred p; mma.sync…" gives "mma.sync…".
  static std::string opcode(std::string_view text) {
    constexpr std::string_view kWord =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:";
    for (size_t begin = text.find_first_of(kWord); begin != std::string_view::npos;) {
      const size_t end = std::min(text.find_first_not_of(kWord, begin), text.size());
      const std::string_view word = text.substr(begin, end - begin);
      if (is_letter(word.front()) && word.find('.') != std::string_view::npos) {
        return std::string(word.substr(0, 40));
      }
      begin = text.find_first_of(kWord, end);
    }
    return std::string(text.substr(0, 20));
  }

  std::string_view file_;
  const UseSink& sink_;
  bool is_cuda_;
  std::vector<Token> tokens_;
  std::vector<int64_t> arguments_;
  std::vector<int64_t> enclosing_;
};

}  // namespace

void read_cpp(std::string_view file, bool is_cuda, const UseSink& sink) {
  Reader(file, is_cuda, sink).run();
}

}  // namespace lotse
