// The printable alphabet in which byte-level tokenizers write bytes (introduced by GPT-2): each of
// the 256 bytes has one character below U+0144, for example a space is "Ġ".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lotse {

// The character of a byte.
char32_t byte_to_char(uint8_t byte);

// Appends `bytes`, each written as its character.
void append_byte_level(std::string& out, std::string_view bytes);

// The bytes that `written` stands for; nothing when it has a character outside the alphabet.
// Appends to `out`, which is unspecified in that case.
bool append_bytes_of(std::string& out, std::string_view written);

}  // namespace lotse
