// Classes of characters by Unicode, from utf8proc's tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace lotse {

// Bits of char_class().
inline constexpr uint8_t kLetter = 1;       // general category L*
inline constexpr uint8_t kMark = 2;         // M*
inline constexpr uint8_t kNumber = 4;       // N*
inline constexpr uint8_t kPunctuation = 8;  // P*
inline constexpr uint8_t kSymbol = 16;      // S*
inline constexpr uint8_t kSpace = 32;       // the property White_Space
inline constexpr uint8_t kNewline = 64;     // \r and \n
inline constexpr uint8_t kWord = 128;       // \w of UTS 18: Alphabetic, M*, Nd, Pc

// A table of classes for the planes in use, made at first call; thread-safe.
class CharClasses {
 public:
  static const CharClasses& get();

  uint8_t operator[](char32_t c) const { return c < kTable ? table_[c] : compute(c); }

 private:
  CharClasses();
  static uint8_t compute(char32_t c);

  static constexpr char32_t kTable = 0x20000;
  uint8_t table_[kTable];
};

// The next character of text that is valid UTF-8, without checks. Advances `position`.
inline char32_t next_char(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[position + i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) {
    position += 1;
    return first;
  }
  if (first < 0xe0) {
    const char32_t c = ((first & 0x1fu) << 6) | (byte(1) & 0x3fu);
    position += 2;
    return c;
  }
  if (first < 0xf0) {
    const char32_t c = ((first & 0x0fu) << 12) | ((byte(1) & 0x3fu) << 6) | (byte(2) & 0x3fu);
    position += 3;
    return c;
  }
  const char32_t c = ((first & 0x07u) << 18) | ((byte(1) & 0x3fu) << 12) |
                     ((byte(2) & 0x3fu) << 6) | (byte(3) & 0x3fu);
  position += 4;
  return c;
}

// Where the character before `position` > 0 begins.
inline size_t previous_char(std::string_view text, size_t position) {
  do {
    --position;
  } while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xc0) == 0x80);
  return position;
}

bool is_white_space(char32_t c);

// Whether text is valid UTF-8; fast.
bool is_utf8(std::string_view text);

// Malformed bytes replaced by U+FFFD, one for each maximal part of a character (Unicode 15,
// section 3.9), as most decoders do.
std::string decode_lossy(std::string_view bytes);

}  // namespace lotse
