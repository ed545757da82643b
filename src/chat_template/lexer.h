// Cuts a template into tokens as Jinja2's lexer does with trim_blocks and lstrip_blocks on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse::jinja {

enum class TokenKind {
  data,            // text between tags, with white space trimmed already
  variable_begin,  // {{
  variable_end,    // }}
  block_begin,     // {%
  block_end,       // %}
  name,
  string,  // unescaped
  integer,
  floating,
  op,  // an operator, bracket or punctuation mark
  end,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;
  int64_t integer = 0;
  double floating = 0;

  bool is_op(std::string_view op) const { return kind == TokenKind::op && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::name && text == name; }
};

// All tokens, the last one `end`. Errors: invalid_input, "line N: …".
Result<std::vector<Token>> tokenize(std::string_view source);

// What a token is called in an error message.
std::string describe(const Token& token);

}  // namespace lotse::jinja
