// The methods of Python's types that the sandbox permits, and what an object's attributes are.
#pragma once

#include <string_view>

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

// object.name when `name` is an attribute of the object's type: a method, or an undefined value
// that says why the sandbox forbids it. Missing when there is no such attribute. Errors: an
// attribute that Python has and Lotse does not support.
Result<Value> type_attribute(Interpreter& interpreter, const Value& object, std::string_view name);

Result<Value> call_method(Interpreter& interpreter, const Method& method, Arguments arguments);

// The methods of str.
bool has_string_method(std::string_view name);
Result<Value> call_string_method(Interpreter& interpreter, const Value& self, std::string_view name,
                                 Arguments arguments);

// range, dict, namespace, raise_exception, strftime_now, …
Result<Value> call_function(Interpreter& interpreter, Function function, Arguments arguments);

}  // namespace lotse::jinja
