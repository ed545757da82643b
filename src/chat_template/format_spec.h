// One conversion of a value to text with width, precision, sign, …: what the % operator and
// str.format have in common.
#pragma once

#include <string_view>

#include "base/result.h"
#include "chat_template/value.h"

namespace lotse::jinja {

struct FormatSpec {
  Text fill = Text(" ", true);
  char align = 0;  // < > ^ =, 0 for the type's default
  char sign = '-';
  bool alternate = false;
  char grouping = 0;  // ',' or '_'
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

// Reads a decimal number at `position`, moving behind it; −1 when there is none. Errors: limit for
// a number that no text may be long.
Result<int64_t> parse_count(std::string_view text, size_t& position);

// Pads to the width, by default to the left of strings and the right of numbers.
Result<Text> pad(Budget& budget, Text text, const FormatSpec& spec, char default_align);

// format(value, spec) of a string, or a number (with type d i x X o b c, e E f F g G %).
Result<Text> format_text(Budget& budget, const Text& text, const FormatSpec& spec);
Result<Text> format_number(Budget& budget, const Value& number, FormatSpec spec);

}  // namespace lotse::jinja
