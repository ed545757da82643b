#include "chat_template/string_literal.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

// The one-character escapes; 0 for any other letter.
char simple_escape(char letter) {
  switch (letter) {
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return letter;
    default:
      return 0;
  }
}

// Appends the character of `digits` hexadecimal digits at `position`.
Result<void> append_hex(std::string& out, std::string_view text, size_t position, size_t digits) {
  uint32_t code = 0;
  const std::string_view number = text.substr(std::min(position, text.size()), digits);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), code, 16);
  if (number.size() < digits || parsed.ptr != number.data() + digits) {
    return fail(ErrorCode::invalid_input, "truncated \\x, \\u or \\U escape in a string");
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    return fail(ErrorCode::invalid_input, "illegal Unicode character in a string's escape");
  }
  append_utf8(out, code);
  return {};
}

size_t append_octal(std::string& out, std::string_view text, size_t position) {
  uint32_t code = 0;
  size_t count = 0;
  while (count < 3 && position + count < text.size() && text[position + count] >= '0' &&
         text[position + count] <= '7') {
    code = code * 8 + static_cast<uint32_t>(text[position + count++] - '0');
  }
  append_utf8(out, code);
  return count;
}

}  // namespace

Result<std::string> unescape_string(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i++];
      continue;
    }
    const char letter = text[i + 1];
    i += 2;
    if (const char simple = simple_escape(letter)) {
      out += simple;
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      const size_t digits = letter == 'x' ? 2 : (letter == 'u' ? 4 : 8);
      LOTSE_TRY(append_hex(out, text, i, digits));
      i += digits;
    } else if (letter >= '0' && letter <= '7') {
      i += append_octal(out, text, i - 1) - 1;
    } else if (letter == 'N') {
      return fail(ErrorCode::unsupported, "escape \\N in a string is not supported");
    } else if (static_cast<uint8_t>(letter) >= 0x80) {
      // Jinja2 turns the character into an escape first, whose backslash this one then escapes.
      const Utf8Char c = decode_utf8(text, i - 1);
      const char32_t code = c.code_point;
      out += code < 0x100     ? hex_escape('x', code, 2)
             : code < 0x10000 ? hex_escape('u', code, 4)
                              : hex_escape('U', code, 8);
      i += static_cast<size_t>(c.length) - 1;
    } else if (letter != '\n') {
      out += '\\';
      out += letter;
    }
  }
  return out;
}

}  // namespace lotse::jinja
