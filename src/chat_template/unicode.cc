#include "chat_template/unicode.h"

#include <utf8proc.h>

#include <cstring>

#include "base/utf8.h"
#include "chat_template/special_casing.h"

namespace lotse::jinja {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

std::string encoded(utf8proc_int32_t c) {
  std::string out;
  append_utf8(out, static_cast<char32_t>(c));
  return out;
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_line_break(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_alphabetic(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_identifier_char(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return c == '_' || is_alphabetic(c) || kind == UTF8PROC_CATEGORY_MN ||
         kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_ND ||
         kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_PC;
}

bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  const bool superscript = c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 ||
                           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
  return is_decimal(c) || superscript;
}

std::string to_upper(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c >= 'a' && c <= 'z' ? c - 0x20 : c)};
  if (const SpecialCase* special = find_special_case(c)) return special->upper;
  return encoded(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

std::string to_title(char32_t c) {
  if (c < 0x80) return to_upper(c);
  if (const SpecialCase* special = find_special_case(c)) return special->title;
  return encoded(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

std::string to_lower(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c >= 'A' && c <= 'Z' ? c + 0x20 : c)};
  if (c == 0x130) return "i\u0307";
  return encoded(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

std::string hex_escape(char letter, uint32_t code, int digits) {
  std::string out = {'\\', letter};
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[(code >> shift) & 0xf];
  }
  return out;
}

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for (const char byte : text) count += (static_cast<uint8_t>(byte) & 0xc0) != 0x80;
  return count;
}

size_t byte_of_character(std::string_view text, int64_t index) {
  size_t position = 0;
  for (; position < text.size(); ++position) {
    const bool begins = (static_cast<uint8_t>(text[position]) & 0xc0) != 0x80;
    if (begins && index-- <= 0) break;
  }
  return position;
}

size_t skip_space(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const Utf8Char c = decode_utf8(text, begin);
    if (!is_space(c.code_point)) break;
    begin += static_cast<size_t>(c.length);
  }
  return begin;
}

size_t previous_character(std::string_view text, size_t end) {
  --end;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return end;
}

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_bytes(std::string_view text, std::string_view needle) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_needle(needle.rbegin(), needle.rend());
  const size_t found = find_bytes(reversed_text, reversed_needle, 0);
  if (found == std::string_view::npos) return found;
  return text.size() - found - needle.size();
}

size_t trim_space(std::string_view text, size_t begin, size_t end) {
  while (end > begin) {
    const size_t last = previous_character(text, end);
    if (!is_space(decode_utf8(text, last).code_point)) break;
    end = last;
  }
  return end;
}

}  // namespace lotse::jinja
