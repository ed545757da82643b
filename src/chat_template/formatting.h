// Python's formatting of strings: '…' % values, and str.format.
#pragma once

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

// format % arguments, for a string `format`.
Result<Value> percent_format(Budget& budget, const Value& format, const Value& arguments);

// format.format(*positional, **named).
Result<Value> format_string(Interpreter& interpreter, const String& format,
                            const Arguments& arguments);

}  // namespace lotse::jinja
