// The characters that grow when their case is mapped.
#pragma once

namespace lotse::jinja {

struct SpecialCase {
  char32_t code_point;
  const char* upper;
  const char* title;
};

// The row of a character, null when its mappings are single characters.
const SpecialCase* find_special_case(char32_t c);

}  // namespace lotse::jinja
