#include "chat_template/arguments.h"

#include <algorithm>

#include "chat_template/operators.h"

namespace lotse::jinja {

Value Arguments::take(std::string_view name) {
  const auto it =
      std::ranges::find_if(named, [&](const auto& argument) { return argument.first == name; });
  if (it == named.end()) return Value();
  Value value = std::move(it->second);
  named.erase(it);
  return value;
}

Result<std::vector<Value>> bind_arguments(std::string_view function, Arguments arguments,
                                          std::initializer_list<std::string_view> parameters,
                                          size_t required, size_t positional_only) {
  if (arguments.positional.size() > parameters.size()) {
    return fail(ErrorCode::invalid_input, "{} takes at most {} arguments, {} given", function,
                parameters.size(), arguments.positional.size());
  }
  std::vector<Value> bound = std::move(arguments.positional);
  const size_t given = bound.size();
  bound.resize(parameters.size());
  for (size_t i = std::max(given, positional_only); i < parameters.size(); ++i) {
    bound[i] = arguments.take(*(parameters.begin() + i));
  }
  if (!arguments.named.empty()) {
    return fail(ErrorCode::invalid_input, "{} got an unexpected keyword argument '{}'", function,
                arguments.named.front().first);
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].is(Kind::missing)) {
      return fail(ErrorCode::invalid_input, "{} needs the argument '{}'", function,
                  *(parameters.begin() + i));
    }
  }
  return bound;
}

Result<int64_t> integer_argument(std::string_view function, const Value& value, int64_t fallback) {
  if (value.is(Kind::missing)) return fallback;
  if (value.is(Kind::integer) || value.is(Kind::boolean)) return value.as_integer();
  LOTSE_TRY(require_defined(value));
  return fail(ErrorCode::invalid_input, "{}: '{}' object cannot be interpreted as an integer",
              function, type_name(value));
}

Result<Value> string_argument(std::string_view function, const Value& value) {
  if (value.is(Kind::string)) return value;
  LOTSE_TRY(require_defined(value));
  return fail(ErrorCode::invalid_input, "{}: expected str, got '{}'", function, type_name(value));
}

bool boolean_argument(const Value& value, bool fallback) {
  return value.is(Kind::missing) ? fallback : is_true(value);
}

}  // namespace lotse::jinja
