// Python's operators on values.
#pragma once

#include <string_view>

#include "base/result.h"
#include "chat_template/value.h"

namespace lotse::jinja {

// a + b, and - * / // % **. Integers are of 64 bits; beyond that is an error.
Result<Value> apply_binary(Budget& budget, std::string_view op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);
Result<Value> unary_plus(const Value& value);

// a == b, != < <= > >= in, not in.
Result<bool> apply_comparison(Budget& budget, std::string_view op, const Value& a, const Value& b);
Result<bool> contains(Budget& budget, const Value& container, const Value& item);

// object[start:stop:step]; missing or None bounds are the defaults.
Result<Value> slice(Budget& budget, const Value& object, const Value& start, const Value& stop,
                    const Value& step);

// The error of an operation on an undefined value: its message. Nothing for other values.
Result<void> require_defined(const Value& value);

Result<Text> concatenate(Budget& budget, const Text& a, const Text& b);

// HTML escapes in the text, as markupsafe has them.
Result<Text> escape_html(Budget& budget, const Text& text);

}  // namespace lotse::jinja
