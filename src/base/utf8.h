// UTF-8 as text that comes from files and models: validated, decoded, cut at character borders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lotse {

inline constexpr char32_t kReplacement = 0xfffd;

struct Utf8Char {
  char32_t code_point;  // kReplacement for a malformed byte
  int length;           // bytes consumed, at least 1
  bool valid;
};

// The character at `position` < text.size(), by Unicode's table 3-7: no overlong forms, no
// surrogates, nothing above U+10FFFF. A malformed sequence consumes one byte.
Utf8Char decode_utf8(std::string_view text, size_t position);

// Appends a code point; an invalid one becomes U+FFFD.
void append_utf8(std::string& out, char32_t code_point);

bool is_valid_utf8(std::string_view text);

// Bytes at the end of `text` that begin a character which is not complete yet (0 to 3).
size_t incomplete_utf8_tail(std::string_view text);

// Malformed bytes replaced by U+FFFD.
std::string sanitize_utf8(std::string_view text);

}  // namespace lotse
