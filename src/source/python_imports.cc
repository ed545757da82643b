#include "source/python_imports.h"

#include <algorithm>

namespace lotse {

struct Imports::Parser {
  std::string_view file;
  const std::vector<Token>& tokens;
  Imports& imports;
  uint32_t last_import = 0;
  std::vector<size_t> blocks = {0};  // the scope of each open block, the innermost last
  size_t awaited = 0;                // the scope whose body comes next; 0: none

  struct Part {
    std::string text;
    Span span;
  };
  using Parts = std::vector<Part>;

  bool is(size_t i, std::string_view text) const {
    return i < tokens.size() && text_of(file, tokens[i]) == text;
  }
  bool is_name(size_t i) const { return i < tokens.size() && tokens[i].kind == TokenKind::name; }

  bool begins_statement(size_t i) const {
    if (i == 0) return true;
    const TokenKind kind = tokens[i - 1].kind;
    return kind == TokenKind::newline || kind == TokenKind::indent || kind == TokenKind::dedent ||
           is(i - 1, ";") || is(i - 1, ":");
  }

  void run() {
    imports.scopes_.push_back({0, UINT32_MAX});
    for (size_t i = 0; i < tokens.size();) {
      block(i);
      size_t next = i;
      if (begins_statement(i) && is(i, "import")) next = import(i);
      if (begins_statement(i) && is(i, "from")) next = from(i);
      if (next > i) {
        imports.ends_[i] = next;
        i = next;
      } else {
        if (is(i, "def")) function(i);
        if (begins_statement(i)) assignment(i);
        ++i;
      }
    }
  }

  // Follows blocks, whose bodies may also stand on the line of their "def".
  void block(size_t i) {
    const TokenKind kind = tokens[i].kind;
    if (kind == TokenKind::indent) {
      blocks.push_back(awaited != 0 ? awaited : blocks.back());
      awaited = 0;
    } else if (kind == TokenKind::dedent && blocks.size() > 1) {
      const size_t scope = blocks.back();
      blocks.pop_back();
      if (scope != blocks.back()) imports.scopes_[scope].end = tokens[i].begin;
    } else if (kind == TokenKind::newline && awaited != 0 &&
               (i + 1 >= tokens.size() || tokens[i + 1].kind != TokenKind::indent)) {
      imports.scopes_[awaited].end = tokens[i].begin;
      awaited = 0;
    }
  }

  size_t scope() const { return awaited != 0 ? awaited : blocks.back(); }

  // def f(a, b: int = 1, *c): a, b and c stand for nothing imported.
  void function(size_t i) {
    imports.scopes_.push_back({tokens[i].begin, UINT32_MAX});
    awaited = imports.scopes_.size() - 1;
    constexpr size_t kFarthest = 4096;
    size_t depth = 0;
    for (size_t j = i + 2; j < tokens.size() && j - i < kFarthest; ++j) {
      if (is(j, "(") || is(j, "[") || is(j, "{")) ++depth;
      if ((is(j, ")") || is(j, "]") || is(j, "}")) && depth > 0) --depth;
      if (depth == 0 || is(j, "def")) break;
      const bool first = is(j - 1, "(") || is(j - 1, ",") || is(j - 1, "*") || is(j - 1, "**");
      if (depth == 1 && is_name(j) && first) shadow(j);
    }
  }

  void shadow(size_t i) {
    imports.bind(text_of(file, tokens[i]), {{}, false, tokens[i].begin, scope(), 0});
  }

  // a.b.c at `i`; moves `i` past it.
  Parts dotted(size_t& i) const {
    Parts parts;
    while (is_name(i)) {
      parts.push_back({std::string(text_of(file, tokens[i])), {tokens[i].begin, tokens[i].end}});
      ++i;
      if (!is(i, ".") || !is_name(i + 1)) break;
      ++i;
    }
    return parts;
  }

  void statement(size_t first, size_t end, const Parts& module) {
    const bool line_begins = first == 0 || tokens[first - 1].kind == TokenKind::newline ||
                             tokens[first - 1].kind == TokenKind::indent ||
                             tokens[first - 1].kind == TokenKind::dedent;
    const bool line_ends = end < tokens.size() && tokens[end].kind == TokenKind::newline;
    const uint32_t last = end < tokens.size() ? tokens[end].end : tokens.back().end;
    imports.statements_.push_back({{tokens[first].begin, last},
                                   module.empty() ? "" : module.front().text,
                                   line_begins && line_ends});
  }

  void use(const Parts& parts, uint32_t import) {
    Use use{.place = Place::python_name};
    for (const Part& part : parts) {
      if (!use.text.empty()) use.text += '.';
      use.text += part.text;
      use.parts.push_back(part.span);
    }
    use.span = {parts.front().span.begin, parts.back().span.end};
    if (use.span.end < use.span.begin) use.span = parts.back().span;
    use.import = import;
    use.is_import = true;
    imports.uses_.push_back(std::move(use));
  }

  static std::vector<std::string> names(const Parts& parts) {
    std::vector<std::string> names;
    for (const Part& part : parts) names.push_back(part.text);
    return names;
  }

  // import a.b as c, d
  size_t import(size_t first) {
    size_t i = first + 1;
    Parts module;
    while (true) {
      const Parts parts = dotted(i);
      if (parts.empty()) break;
      if (module.empty()) module = parts;
      use(parts, 0);
      Binding binding{names(parts), false, tokens[first].begin, scope(), 0};
      if (is(i, "as") && is_name(i + 1)) {
        imports.bind(text_of(file, tokens[i + 1]), std::move(binding));
        i += 2;
      } else {
        binding.target.resize(1);
        binding.is_last_part = true;
        imports.bind(parts.front().text, std::move(binding));
      }
      if (!is(i, ",")) break;
      ++i;
    }
    statement(first, i, module);
    return i;
  }

  // from a.b import c as d, e; relative modules bind nothing.
  size_t from(size_t first) {
    size_t i = first + 1;
    const bool relative = is(i, ".") || is(i, "...");
    while (is(i, ".") || is(i, "...")) ++i;
    const Parts module = dotted(i);
    if (!is(i, "import")) return first;
    ++i;
    if (is(i, "(")) ++i;
    const uint32_t number = ++last_import;
    if (is(i, "*") && !relative && !module.empty()) use(module, 0);
    while (is_name(i)) {
      Parts parts = relative ? Parts{} : module;
      parts.push_back({std::string(text_of(file, tokens[i])), {tokens[i].begin, tokens[i].end}});
      const bool renamed = is(i + 1, "as") && is_name(i + 2);
      const size_t local = renamed ? i + 2 : i;
      if (!relative) {
        use(parts, number);
        imports.bind(text_of(file, tokens[local]),
                     {names(parts), !renamed, tokens[first].begin, scope(), number});
      }
      i = local + 1;
      if (!is(i, ",")) break;
      ++i;
    }
    if (is(i, ")")) ++i;
    statement(first, std::min(i, tokens.size()), relative ? Parts{} : module);
    return i;
  }

  // x = torch.cuda; another value hides what x stands for inside its function only, for modules say
  // `x = None` where an import failed.
  void assignment(size_t i) {
    if (!is_name(i) || !is(i + 1, "=")) return;
    size_t end = i + 2;
    const Parts parts = dotted(end);
    const bool whole = end >= tokens.size() || tokens[end].kind == TokenKind::newline;
    const Binding* root =
        parts.empty() || !whole ? nullptr : imports.find(parts.front().text, tokens[i].begin);
    constexpr size_t kLongest = 8;
    if (root == nullptr || root->target.size() + parts.size() > kLongest) {
      if (scope() != 0) shadow(i);
      return;
    }
    Binding binding{root->target, false, tokens[i].begin, scope(), 0};
    for (size_t part = 1; part < parts.size(); ++part) binding.target.push_back(parts[part].text);
    imports.bind(text_of(file, tokens[i]), std::move(binding));
  }
};

Imports::Imports(std::string_view file, const std::vector<Token>& tokens) {
  Parser{file, tokens, *this}.run();
}

void Imports::bind(std::string_view name, Binding binding) {
  std::vector<Binding>& list = bindings_[std::string(name)];
  if (!list.empty()) binding.position = std::max(binding.position, list.back().position);
  list.push_back(std::move(binding));
}

const Binding* Imports::find(std::string_view name, uint32_t position) const {
  const auto found = bindings_.find(std::string(name));
  if (found == bindings_.end()) return nullptr;
  const std::vector<Binding>& list = found->second;
  const auto known = [](const Binding& binding) {
    return binding.target.empty() ? nullptr : &binding;
  };
  constexpr size_t kMostTries = 64;
  auto binding = std::ranges::upper_bound(list, position, {}, &Binding::position);
  for (size_t tries = 0; binding != list.begin() && tries < kMostTries; ++tries) {
    --binding;
    const Scope& scope = scopes_[binding->scope];
    if (scope.begin <= position && position < scope.end) return known(*binding);
  }
  return list.front().scope == 0 ? known(list.front()) : nullptr;
}

Span Imports::first_import_of(std::string_view module) const {
  for (const Statement& statement : statements_) {
    if (statement.own_line && statement.module == module) return statement.span;
  }
  return {};
}

size_t Imports::past_import(size_t token) const {
  const auto found = ends_.find(token);
  return found == ends_.end() ? token : found->second;
}

}  // namespace lotse
