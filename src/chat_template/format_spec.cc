#include "chat_template/format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "chat_template/printing.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

constexpr int64_t kMaxPrecision = 400;  // a double has no more digits to show

void group_digits(std::string& digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t i = end; i > 3; i -= 3) digits.insert(i - 3, 1, separator);
}

std::string integer_digits(uint64_t magnitude, char type) {
  switch (type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return fmt::format("{}", magnitude);
  }
}

std::string float_digits(double magnitude, const FormatSpec& spec) {
  if (spec.type == 0 && spec.precision < 0) return float_repr(magnitude);
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  const double shown = spec.type == '%' ? magnitude * 100 : magnitude;
  char buffer[1024];
  int length = 0;
  switch (spec.type) {
    case 'e':
      length = std::snprintf(buffer, sizeof buffer, "%.*e", precision, shown);
      break;
    case 'E':
      length = std::snprintf(buffer, sizeof buffer, "%.*E", precision, shown);
      break;
    case 'g':
      length = std::snprintf(buffer, sizeof buffer, "%.*g", precision, shown);
      break;
    case 'G':
      length = std::snprintf(buffer, sizeof buffer, "%.*G", precision, shown);
      break;
    default:
      length = std::snprintf(buffer, sizeof buffer, "%.*f", precision, shown);
      break;
  }
  std::string digits(buffer, static_cast<size_t>(length));
  if (spec.type == '%') digits += '%';
  return digits;
}

std::string sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? "" : std::string(1, sign);
}

}  // namespace

Result<int64_t> parse_count(std::string_view text, size_t& position) {
  int64_t count = -1;
  while (position < text.size() && text[position] >= '0' && text[position] <= '9') {
    count = std::max<int64_t>(count, 0) * 10 + (text[position++] - '0');
    if (count > int64_t{1} << 40) return fail(ErrorCode::limit, "too large a number in a format");
  }
  return count;
}

Result<Text> pad(Budget& budget, Text text, const FormatSpec& spec, char default_align) {
  const int64_t missing = spec.width - count_characters(text.bytes());
  if (missing <= 0) return text;
  LOTSE_TRY(budget.grow(missing * static_cast<int64_t>(spec.fill.size())));
  const char align = spec.align == 0 ? default_align : spec.align;
  const int64_t left = align == '<' ? 0 : (align == '^' ? missing / 2 : missing);
  Text padded;
  for (int64_t i = 0; i < left; ++i) padded.append(spec.fill);
  padded.append(text);
  for (int64_t i = left; i < missing; ++i) padded.append(spec.fill);
  return padded;
}

Result<Text> format_text(Budget& budget, const Text& text, const FormatSpec& spec) {
  Text shown = text;
  if (spec.precision >= 0) {
    shown = text.slice(0, byte_of_character(text.bytes(), spec.precision));
  }
  return pad(budget, std::move(shown), spec, '<');
}

Result<Text> format_number(Budget& budget, const Value& number, FormatSpec spec) {
  if (spec.precision > kMaxPrecision) {
    return fail(ErrorCode::limit, "a precision of more than {} digits", kMaxPrecision);
  }
  if (spec.type == 'c') {
    const int64_t code = number.as_integer();
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      return fail(ErrorCode::invalid_input, "%c arg not in range(0x110000)");
    }
    std::string character;
    append_utf8(character, static_cast<char32_t>(code));
    return pad(budget, Text(character, false), spec, '<');
  }
  const bool float_type = std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  std::string digits;
  bool negative = false;
  if (number.is(Kind::floating) || (float_type && spec.type != 0)) {
    const double value = number.as_number();
    negative = std::signbit(value) && !std::isnan(value);
    digits = float_digits(std::fabs(value), spec);
  } else {
    const int64_t value = number.as_integer();
    negative = value < 0;
    const uint64_t magnitude =
        negative ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    digits = integer_digits(magnitude, spec.type);
    if (spec.alternate && spec.type != 'd' && spec.type != 0) {
      digits = std::string("0") + spec.type + digits;
    }
  }
  if (spec.grouping != 0) group_digits(digits, spec.grouping);
  const std::string sign = sign_text(negative, spec.sign);
  if (spec.align == '=') {
    spec.width -= static_cast<int64_t>(sign.size());
    spec.align = '>';
    Text padded = LOTSE_TRY(pad(budget, Text(digits, true), spec, '>'));
    Text signed_text(sign, true);
    signed_text.append(padded);
    return signed_text;
  }
  return pad(budget, Text(sign + digits, true), spec, '>');
}

}  // namespace lotse::jinja
