// The syntax of regular expressions: what ECMAScript, PCRE and Python have in common, without
// what is not regular (back references, look-around).
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/grammar/expression.h"

namespace lotse {

enum class RegexDialect {
  ecma,  // of JSON schema's `pattern`: "." is no line end of Unicode, "\s" any of its spaces
  pcre,  // "." is all but \n, "\s" ASCII
};

// Errors: invalid_input or unsupported, with the position in bytes; limit for nesting over 100.
Result<Expression> parse_regex(std::string_view pattern, RegexDialect dialect);

}  // namespace lotse
