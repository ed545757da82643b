#include "base/utf8.h"

#include <algorithm>

namespace lotse {
namespace {

struct Lead {
  int length;          // 0 for a byte that cannot begin a character
  uint8_t second_low;  // allowed range of the second byte
  uint8_t second_high;
};

Lead classify(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// How many bytes of the character at `position` are present and well-formed.
int valid_prefix(std::string_view text, size_t position, const Lead& lead) {
  int present = 1;
  while (present < lead.length && position + static_cast<size_t>(present) < text.size()) {
    const uint8_t byte = byte_at(text, position + static_cast<size_t>(present));
    const uint8_t low = present == 1 ? lead.second_low : uint8_t{0x80};
    const uint8_t high = present == 1 ? lead.second_high : uint8_t{0xbf};
    if (byte < low || byte > high) break;
    ++present;
  }
  return present;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t position) {
  const uint8_t first = byte_at(text, position);
  const Lead lead = classify(first);
  if (lead.length == 1) return {first, 1, true};
  if (lead.length == 0 || valid_prefix(text, position, lead) != lead.length) {
    return {kReplacement, 1, false};
  }
  char32_t code = first & (0x7fu >> lead.length);
  for (int i = 1; i < lead.length; ++i) {
    code = (code << 6) | (byte_at(text, position + static_cast<size_t>(i)) & 0x3fu);
  }
  return {code, lead.length, true};
}

void append_utf8(std::string& out, char32_t code_point) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000)) {
    code_point = kReplacement;
  }
  const auto put = [&](uint32_t byte) { out += static_cast<char>(static_cast<uint8_t>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3f));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid) return false;
    i += static_cast<size_t>(c.length);
  }
  return true;
}

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const size_t position = text.size() - back;
    const Lead lead = classify(byte_at(text, position));
    if (lead.length == 0) continue;
    const bool unfinished = static_cast<size_t>(lead.length) > back &&
                            static_cast<size_t>(valid_prefix(text, position, lead)) == back;
    return unfinished ? back : 0;
  }
  return 0;
}

std::string sanitize_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    append_utf8(out, c.code_point);
    i += static_cast<size_t>(c.length);
  }
  return out;
}

}  // namespace lotse
