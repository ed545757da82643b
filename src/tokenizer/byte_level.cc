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

// All of the alphabet beyond ASCII has two bytes in UTF-8, which begin with C2 to C5.
bool append_bytes_of(std::string& out, std::string_view written) {
  const size_t begin = out.size();
  out.resize(begin + written.size());
  char* end = out.data() + begin;
  for (size_t i = 0; i < written.size();) {
    const auto first = static_cast<uint8_t>(written[i]);
    if (first > ' ' && first <= '~') {
      *end++ = written[i++];
      continue;
    }
    if (first < 0xc2 || first > 0xc5 || i + 1 == written.size()) return false;
    const auto second = static_cast<uint8_t>(written[i + 1]);
    const size_t c = ((first & 0x1fu) << 6) | (second & 0x3fu);
    if ((second & 0xc0) != 0x80 || c >= kAlphabet.bytes.size() || kAlphabet.bytes[c] < 0) {
      return false;
    }
    *end++ = static_cast<char>(kAlphabet.bytes[c]);
    i += 2;
  }
  out.resize(static_cast<size_t>(end - out.data()));
  return true;
}

}  // namespace lotse
