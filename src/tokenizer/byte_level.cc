#include "tokenizer/byte_level.h"

#include <array>

#include "base/utf8.h"

namespace lotse {
namespace {

constexpr bool is_printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Alphabet {
  std::array<char32_t, 256> chars{};
  std::array<int16_t, 0x144> bytes{};  // −1 outside the alphabet
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.bytes.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.chars[static_cast<size_t>(byte)] = c;
    alphabet.bytes[c] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t byte_to_char(uint8_t byte) { return kAlphabet.chars[byte]; }

void append_byte_level(std::string& out, std::string_view bytes) {
  for (const char c : bytes) append_utf8(out, byte_to_char(static_cast<uint8_t>(c)));
}

bool append_bytes_of(std::string& out, std::string_view written) {
  for (size_t i = 0; i < written.size();) {
    if (written[i] > ' ' && written[i] <= '~') {
      out += written[i++];
      continue;
    }
    const Utf8Char c = decode_utf8(written, i);
    if (!c.valid || c.code_point >= kAlphabet.bytes.size()) return false;
    const int16_t byte = kAlphabet.bytes[c.code_point];
    if (byte < 0) return false;
    out += static_cast<char>(static_cast<uint8_t>(byte));
    i += static_cast<size_t>(c.length);
  }
  return true;
}

}  // namespace lotse
