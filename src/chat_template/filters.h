// Jinja2's filters, by name.
#pragma once

#include <string_view>

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

using Filter = Result<Value> (*)(Interpreter& interpreter, Value input, Arguments arguments);

// Null when there is none of that name.
Filter find_filter(std::string_view name);

// The rows of each file of filters.
struct FilterRow {
  std::string_view name;
  Filter filter;
};
Filter find_string_filter(std::string_view name);
Filter find_sequence_filter(std::string_view name);
Filter find_number_filter(std::string_view name);

}  // namespace lotse::jinja
