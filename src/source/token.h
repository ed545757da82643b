// What both tokenizers make of a file: tokens in order that do not overlap. What stands between two
// tokens is white space and joined lines, so texts and gaps together give the file back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lotse {

enum class TokenKind : uint8_t {
  name,  // identifiers and keywords
  number,
  string,      // with prefix and quotes; raw strings too. Python: not f-strings
  character,   // C++: 'x'
  text_begin,  // Python: prefix and opening quote of an f-string (or t-string)
  text,        // Python: literal text of an f-string or of a format specification
  text_end,    // Python: its closing quote
  comment,
  op,         // C++: one character, but "::", "->" and "<<<"
  directive,  // C++: the # that begins a preprocessor line
  header,     // C++: <…> after #include
  newline,    // Python: end of a logical line; C++: end of a preprocessor line
  indent,     // Python: a deeper block begins here; of no width
  dedent,     // Python: a block ended before here; of no width
  stray,      // a byte that begins no token
};

// Offsets in bytes; files are far below 4 GiB.
struct Token {
  TokenKind kind;
  uint32_t begin;
  uint32_t end;

  friend bool operator==(const Token&, const Token&) = default;
};

inline std::string_view text_of(std::string_view file, const Token& token) {
  return file.substr(token.begin, token.end - token.begin);
}

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
// Bytes beyond ASCII count as letters: both languages allow them in identifiers.
inline bool begins_name(char c) { return is_letter(c) || c == '_' || (c & 0x80) != 0; }
inline bool continues_name(char c) { return begins_name(c) || is_digit(c); }

}  // namespace lotse
