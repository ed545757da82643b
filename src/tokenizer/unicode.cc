#include "tokenizer/unicode.h"

#include <simdjson.h>
#include <utf8proc.h>

namespace lotse {
namespace {

// Alphabetic characters outside the categories L, M and Nl.
bool is_other_alphabetic(char32_t c) {
  return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

uint8_t class_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter | kWord;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark | kWord;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return kNumber | kWord;
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
      return kPunctuation | kWord;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    default:
      return 0;
  }
}

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

uint8_t CharClasses::compute(char32_t c) {
  unsigned bits = class_of_category(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
  if (is_other_alphabetic(c)) bits |= kWord;
  if (is_white_space(c)) bits |= kSpace;
  if (c == '\r' || c == '\n') bits |= kNewline;
  return static_cast<uint8_t>(bits);
}

CharClasses::CharClasses() {
  for (char32_t c = 0; c < kTable; ++c) table_[c] = compute(c);
}

const CharClasses& CharClasses::get() {
  static const CharClasses classes;
  return classes;
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text); }

std::string decode_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    size_t length = static_cast<size_t>(c.length);
    if (!c.valid) {
      for (size_t part = 3; part > 1; --part) {
        const std::string_view prefix = bytes.substr(i, part);
        if (prefix.size() == part && incomplete_utf8_tail(prefix) == part) {
          length = part;
          break;
        }
      }
    }
    append_utf8(out, c.code_point);
    i += length;
  }
  return out;
}

}  // namespace lotse
