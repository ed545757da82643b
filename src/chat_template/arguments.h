// Binds the arguments of a call to the parameters of a built-in function.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

// One value a parameter, missing where nothing was given. The first `required` must be given; the
// first `positional_only` have no name. Errors: too many, too few, unknown names.
Result<std::vector<Value>> bind_arguments(std::string_view function, Arguments arguments,
                                          std::initializer_list<std::string_view> parameters,
                                          size_t required = 0, size_t positional_only = 0);

// The argument as a type; `fallback` where it is missing. Errors name the function.
Result<int64_t> integer_argument(std::string_view function, const Value& value, int64_t fallback);
Result<Value> string_argument(std::string_view function, const Value& value);
bool boolean_argument(const Value& value, bool fallback);

}  // namespace lotse::jinja
