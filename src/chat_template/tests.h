// Jinja2's tests (`value is name`), by name.
#pragma once

#include <string_view>

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

using Test = Result<bool> (*)(Interpreter& interpreter, const Value& value, Arguments arguments);

// Null when there is none of that name.
Test find_test(std::string_view name);

}  // namespace lotse::jinja
