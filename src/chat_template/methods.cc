#include "chat_template/methods.h"

#include <algorithm>
#include <array>

#include "chat_template/arguments.h"
#include "chat_template/operators.h"

namespace lotse::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view name, Names names) {
  return std::ranges::find(names, name) != names.end();
}

std::unexpected<Error> unsupported(const Value& object, std::string_view name) {
  return fail(ErrorCode::unsupported, "{}.{} is not supported", type_name(object), name);
}

// Attributes that the sandbox hides: private ones and methods that change the object.
Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
}

bool is_dunder(std::string_view name) {
  return name.size() > 4 && name.starts_with("__") && name.ends_with("__");
}

Result<Value> dict_attribute(const Value& object, std::string_view name) {
  if (is_one_of(name, {"clear", "pop", "popitem", "setdefault", "update"})) {
    return unsafe(object, name);
  }
  if (is_one_of(name, {"copy", "get", "items", "keys", "values", "fromkeys"})) {
    return Value::method(object, name);
  }
  return Value();
}

Result<Value> list_attribute(const Value& object, std::string_view name) {
  const Flavour flavour = object.as_list().flavour;
  if (flavour == Flavour::list) {
    if (is_one_of(name,
                  {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"})) {
      return unsafe(object, name);
    }
    if (name == "copy") return Value::method(object, name);
  }
  if (flavour <= Flavour::range && is_one_of(name, {"count", "index"})) {
    return Value::method(object, name);
  }
  const bool other = (flavour == Flavour::range && is_one_of(name, {"start", "stop", "step"})) ||
                     (flavour == Flavour::iterator && is_one_of(name, {"send", "throw", "close"}));
  if (other) return unsupported(object, name);
  return Value();
}

Result<Value> number_attribute(const Value& object, std::string_view name) {
  if (is_one_of(name,
                {"real", "imag", "numerator", "denominator", "conjugate", "bit_length", "bit_count",
                 "to_bytes", "from_bytes", "as_integer_ratio", "is_integer", "hex", "fromhex"})) {
    return unsupported(object, name);
  }
  return Value();
}

// The number of items of a loop, which finds them all.
Result<int64_t> loop_length(LoopState& loop) {
  while (loop.find_next && LOTSE_TRY(loop.find_next())) {
  }
  return static_cast<int64_t>(loop.items.size());
}

Result<bool> loop_has_next(LoopState& loop) {
  if (loop.index + 1 < loop.items.size()) return true;
  if (!loop.find_next) return false;
  return loop.find_next();
}

Result<Value> loop_attribute(const Value& object, std::string_view name) {
  LoopState& loop = object.as_loop();
  const auto index = static_cast<int64_t>(loop.index);
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(!LOTSE_TRY(loop_has_next(loop)));
  if (name == "length") return Value::integer(LOTSE_TRY(loop_length(loop)));
  if (name == "revindex") return Value::integer(LOTSE_TRY(loop_length(loop)) - index);
  if (name == "revindex0") return Value::integer(LOTSE_TRY(loop_length(loop)) - index - 1);
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") {
    if (index == 0) return Value::undefined("there is no previous item");
    return loop.items[loop.index - 1];
  }
  if (name == "nextitem") {
    if (!LOTSE_TRY(loop_has_next(loop))) return Value::undefined("there is no next item");
    return loop.items[loop.index + 1];
  }
  if (is_one_of(name, {"cycle", "changed"})) return Value::method(object, name);
  return Value();
}

Result<Value> macro_attribute(const Value& object, std::string_view name) {
  if (name == "name") return Value::string(object.as_macro().definition->name, true);
  if (is_one_of(name,
                {"arguments", "catch_kwargs", "catch_varargs", "caller", "explicit_caller"})) {
    return unsupported(object, name);
  }
  return Value();
}

Result<Value> call_dict_method(Interpreter& interpreter, const Value& self, std::string_view name,
                               Arguments arguments) {
  Budget& budget = interpreter.budget();
  const Dict& dict = self.as_dict();
  if (name == "get") {
    const auto bound =
        LOTSE_TRY(bind_arguments(name, std::move(arguments), {"key", "default"}, 1, 2));
    const Value* value = LOTSE_TRY(dict.find(budget, bound[0]));
    if (value != nullptr) return *value;
    return bound[1].is(Kind::missing) ? Value::none() : bound[1];
  }
  if (name == "fromkeys") return fail(ErrorCode::unsupported, "dict.fromkeys is not supported");
  LOTSE_TRY(bind_arguments(name, std::move(arguments), {}));
  if (name == "copy") return self;
  LOTSE_TRY(budget.grow_items(dict.size()));
  std::vector<Value> items;
  items.reserve(dict.size());
  for (const auto& [key, value] : dict.entries()) {
    if (name == "keys") items.push_back(key);
    if (name == "values") items.push_back(value);
    if (name == "items") items.push_back(LOTSE_TRY(make_tuple(budget, key, value)));
  }
  const Flavour flavour = name == "keys"     ? Flavour::dict_keys
                          : name == "values" ? Flavour::dict_values
                                             : Flavour::dict_items;
  return make_list(budget, std::move(items), flavour);
}

Result<Value> call_list_method(Interpreter& interpreter, const Value& self, std::string_view name,
                               Arguments arguments) {
  Budget& budget = interpreter.budget();
  const std::vector<Value>& items = self.as_list().items;
  if (name == "copy") {
    LOTSE_TRY(bind_arguments(name, std::move(arguments), {}));
    return make_list(budget, items);
  }
  const auto bound =
      LOTSE_TRY(bind_arguments(name, std::move(arguments), {"value", "start", "stop"}, 1, 3));
  if (!bound[1].is(Kind::missing)) return fail(ErrorCode::unsupported, "{} from a start", name);
  int64_t count = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].same_as(bound[0]) && !LOTSE_TRY(equals(budget, items[i], bound[0]))) continue;
    if (name == "index") return Value::integer(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") return fail(ErrorCode::invalid_input, "the value is not in the list");
  return Value::integer(count);
}

Result<Value> call_loop_method(Interpreter& interpreter, const Value& self, std::string_view name,
                               Arguments arguments) {
  LoopState& loop = self.as_loop();
  if (!arguments.named.empty()) {
    return fail(ErrorCode::invalid_input, "loop.{} takes no keyword arguments", name);
  }
  if (name == "cycle") {
    if (arguments.positional.empty()) {
      return fail(ErrorCode::invalid_input, "no items for cycling given");
    }
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  if (loop.ended) return fail(ErrorCode::unsupported, "loop.changed behind the loop's end");
  Budget& budget = interpreter.budget();
  Value now = LOTSE_TRY(make_list(budget, std::move(arguments.positional), Flavour::tuple));
  const bool same =
      !loop.last_changed.is(Kind::missing) && LOTSE_TRY(equals(budget, loop.last_changed, now));
  if (!same) loop.last_changed = std::move(now);
  return Value::boolean(!same);
}

}  // namespace

Result<Value> type_attribute(Interpreter& interpreter, const Value& object, std::string_view name) {
  LOTSE_TRY(interpreter.budget().step());
  if (object.is(Kind::name_space)) {
    if (name.starts_with('_')) return unsafe(object, name);
    const Value* value = object.as_namespace().attributes->find(name);
    return value == nullptr ? Value() : *value;
  }
  if (is_dunder(name)) return unsafe(object, name);
  switch (object.kind()) {
    case Kind::string:
      return has_string_method(name) ? Value::method(object, name) : Value();
    case Kind::dict:
      return dict_attribute(object, name);
    case Kind::list:
      return list_attribute(object, name);
    case Kind::boolean:
    case Kind::integer:
    case Kind::floating:
      return number_attribute(object, name);
    case Kind::loop:
      return loop_attribute(object, name);
    case Kind::macro:
      return macro_attribute(object, name);
    default:
      return Value();
  }
}

Result<Value> call_method(Interpreter& interpreter, const Method& method, Arguments arguments) {
  const Value& self = *method.self;
  switch (self.kind()) {
    case Kind::string:
      return call_string_method(interpreter, self, method.name, std::move(arguments));
    case Kind::dict:
      return call_dict_method(interpreter, self, method.name, std::move(arguments));
    case Kind::list:
      return call_list_method(interpreter, self, method.name, std::move(arguments));
    default:
      return call_loop_method(interpreter, self, method.name, std::move(arguments));
  }
}

}  // namespace lotse::jinja
