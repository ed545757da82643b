// The interpreter's expressions and calls.
#include "chat_template/filters.h"
#include "chat_template/interpreter.h"
#include "chat_template/methods.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/tests.h"

namespace lotse::jinja {

Result<Value> Interpreter::evaluate(Frame& frame, const Expr& expr) {
  auto entered = budget_.enter();
  if (entered) {
    const DepthScope scope(budget_);
    auto value = evaluate_kind(frame, expr);
    if (!value) note_error_line(expr.line);
    return value;
  }
  note_error_line(expr.line);
  return std::unexpected(std::move(entered).error());
}

Result<Value> Interpreter::evaluate_kind(Frame& frame, const Expr& expr) {
  LOTSE_TRY(budget_.step());
  const auto child = [&](size_t i) { return evaluate(frame, *expr.children[i]); };
  switch (expr.kind) {
    case ExprKind::constant:
      return expr.constant;
    case ExprKind::name: {
      const Value& value = slot(frame, expr.ref);
      if (!value.is(Kind::missing)) return value;
      return Value::undefined(fmt::format("'{}' is undefined", expr.text));
    }
    case ExprKind::tuple:
    case ExprKind::list:
      return evaluate_list(frame, expr);
    case ExprKind::dict:
      return evaluate_dict(frame, expr);
    case ExprKind::conditional:
      return evaluate_conditional(frame, expr);
    case ExprKind::logical_or: {
      Value left = LOTSE_TRY(child(0));
      return is_true(left) ? left : child(1);
    }
    case ExprKind::logical_and: {
      Value left = LOTSE_TRY(child(0));
      return is_true(left) ? child(1) : left;
    }
    case ExprKind::logical_not:
      return Value::boolean(!is_true(LOTSE_TRY(child(0))));
    case ExprKind::compare:
      return evaluate_compare(frame, expr);
    case ExprKind::binary: {
      const Value left = LOTSE_TRY(child(0));
      return apply_binary(budget_, expr.text, left, LOTSE_TRY(child(1)));
    }
    case ExprKind::concat:
      return evaluate_concat(frame, expr);
    case ExprKind::negate:
      return negate(LOTSE_TRY(child(0)));
    case ExprKind::plus:
      return unary_plus(LOTSE_TRY(child(0)));
    case ExprKind::attribute:
      return get_attribute(LOTSE_TRY(child(0)), expr.text);
    case ExprKind::item: {
      const Value object = LOTSE_TRY(child(0));
      return get_item(object, LOTSE_TRY(child(1)));
    }
    case ExprKind::slice:
      return evaluate_slice(frame, expr);
    case ExprKind::call: {
      const Value callee = LOTSE_TRY(child(0));
      return call(callee, LOTSE_TRY(evaluate_arguments(frame, *expr.arguments)));
    }
    case ExprKind::filter: {
      Value input = LOTSE_TRY(child(0));
      return apply_filter(expr.text, std::move(input),
                          LOTSE_TRY(evaluate_arguments(frame, *expr.arguments)));
    }
    case ExprKind::test: {
      const Value value = LOTSE_TRY(child(0));
      return Value::boolean(LOTSE_TRY(
          apply_test(expr.text, value, LOTSE_TRY(evaluate_arguments(frame, *expr.arguments)))));
    }
    case ExprKind::namespace_target:
      break;
  }
  return Value();
}

Result<Value> Interpreter::evaluate_list(Frame& frame, const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) items.push_back(LOTSE_TRY(evaluate(frame, *child)));
  const Flavour flavour = expr.kind == ExprKind::tuple ? Flavour::tuple : Flavour::list;
  return make_list(budget_, std::move(items), flavour);
}

Result<Value> Interpreter::evaluate_dict(Frame& frame, const Expr& expr) {
  auto dict = std::make_shared<Dict>();
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    const Value key = LOTSE_TRY(evaluate(frame, *expr.children[i]));
    LOTSE_TRY(dict->set(budget_, key, LOTSE_TRY(evaluate(frame, *expr.children[i + 1]))));
  }
  return wrap_dict(std::move(dict));
}

Result<Value> Interpreter::evaluate_conditional(Frame& frame, const Expr& expr) {
  if (is_true(LOTSE_TRY(evaluate(frame, *expr.children[0])))) {
    return evaluate(frame, *expr.children[1]);
  }
  if (expr.children[2] != nullptr) return evaluate(frame, *expr.children[2]);
  return Value::undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.",
      expr.line));
}

Result<Value> Interpreter::evaluate_compare(Frame& frame, const Expr& expr) {
  Value left = LOTSE_TRY(evaluate(frame, *expr.children[0]));
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = LOTSE_TRY(evaluate(frame, *expr.children[i + 1]));
    if (!LOTSE_TRY(apply_comparison(budget_, expr.operators[i], left, right))) {
      return Value::boolean(false);
    }
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::evaluate_concat(Frame& frame, const Expr& expr) {
  Text text;
  for (const ExprPtr& child : expr.children) {
    const Text part = LOTSE_TRY(to_text(budget_, LOTSE_TRY(evaluate(frame, *child))));
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(part.size())));
    text.append(part);
  }
  LOTSE_TRY(budget_.check_output(text.size()));
  return Value::string(std::move(text));
}

Result<Value> Interpreter::evaluate_slice(Frame& frame, const Expr& expr) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expr.children[i] != nullptr) parts[i] = LOTSE_TRY(evaluate(frame, *expr.children[i]));
  }
  return slice(budget_, parts[0], parts[1], parts[2], parts[3]);
}

Result<Arguments> Interpreter::evaluate_arguments(Frame& frame, const CallArguments& given) {
  Arguments arguments;
  for (const ExprPtr& expr : given.positional) {
    arguments.positional.push_back(LOTSE_TRY(evaluate(frame, *expr)));
  }
  for (const auto& [name, expr] : given.named) {
    arguments.named.emplace_back(name, LOTSE_TRY(evaluate(frame, *expr)));
  }
  if (given.star != nullptr) {
    const Value star = LOTSE_TRY(evaluate(frame, *given.star));
    for (Value& value : LOTSE_TRY(iterate(budget_, star))) {
      arguments.positional.push_back(std::move(value));
    }
  }
  if (given.double_star == nullptr) return arguments;
  const Value mapping = LOTSE_TRY(evaluate(frame, *given.double_star));
  if (!mapping.is(Kind::dict)) {
    return fail(ErrorCode::invalid_input, "argument after ** must be a mapping, not {}",
                type_name(mapping));
  }
  LOTSE_TRY(budget_.grow_items(mapping.as_dict().size()));
  Dict names;
  for (const auto& [name, value] : arguments.named) {
    LOTSE_TRY(names.set(budget_, Value::string(name, true), value));
  }
  for (const auto& [key, value] : mapping.as_dict().entries()) {
    if (!key.is(Kind::string)) return fail(ErrorCode::invalid_input, "keywords must be strings");
    if (names.find(key.as_bytes()) != nullptr) {
      return fail(ErrorCode::invalid_input, "got multiple values for keyword argument '{}'",
                  key.as_bytes());
    }
    arguments.named.emplace_back(key.as_bytes(), value);
  }
  return arguments;
}

Result<Value> Interpreter::filter_block_text(Frame& frame, const Expr& filter, Value text) {
  const Expr* inner = filter.children.front().get();
  if (inner != nullptr) text = LOTSE_TRY(filter_block_text(frame, *inner, std::move(text)));
  return apply_filter(filter.text, std::move(text),
                      LOTSE_TRY(evaluate_arguments(frame, *filter.arguments)));
}

Result<Value> Interpreter::apply_filter(std::string_view name, Value input, Arguments arguments) {
  LOTSE_TRY(budget_.step());
  const Filter filter = find_filter(name);
  if (filter == nullptr) return fail(ErrorCode::invalid_input, "No filter named '{}'.", name);
  return filter(*this, std::move(input), std::move(arguments));
}

Result<bool> Interpreter::apply_test(std::string_view name, const Value& input,
                                     Arguments arguments) {
  LOTSE_TRY(budget_.step());
  const Test test = find_test(name);
  if (test == nullptr) return fail(ErrorCode::invalid_input, "No test named '{}'.", name);
  return test(*this, input, std::move(arguments));
}

namespace {

std::string object_description(const Value& object) {
  return object.is(Kind::none) ? "None" : type_name(object) + " object";
}

}  // namespace

Result<Value> Interpreter::get_attribute(const Value& object, std::string_view name) {
  LOTSE_TRY(require_defined(object));
  Value attribute = LOTSE_TRY(type_attribute(*this, object, name));
  if (!attribute.is(Kind::missing)) return attribute;
  if (object.is(Kind::dict)) {
    if (const Value* value = object.as_dict().find(name)) return *value;
  }
  return Value::undefined(
      fmt::format("'{}' has no attribute '{}'", object_description(object), name));
}

Result<Value> Interpreter::get_item(const Value& object, const Value& key) {
  LOTSE_TRY(require_defined(object));
  if (object.is(Kind::dict)) {
    auto found = object.as_dict().find(budget_, key);
    if (!found && found.error().code == ErrorCode::limit) {
      return std::unexpected(std::move(found).error());
    }
    if (found && *found != nullptr) return **found;
  }
  const bool list = object.is(Kind::list) && object.as_list().flavour <= Flavour::range;
  if ((list || object.is(Kind::string)) && (key.is(Kind::integer) || key.is(Kind::boolean))) {
    int64_t index = key.as_integer();
    const int64_t length =
        list ? static_cast<int64_t>(object.as_list().items.size()) : object.as_string().length;
    if (index < 0) index += length;
    if (index >= 0 && index < length) {
      if (list) return object.as_list().items[static_cast<size_t>(index)];
      return slice(budget_, object, Value::integer(index), Value::integer(index + 1), Value());
    }
  }
  if (key.is(Kind::string)) {
    Value attribute = LOTSE_TRY(type_attribute(*this, object, key.as_bytes()));
    if (!attribute.is(Kind::missing)) return attribute;
    return Value::undefined(
        fmt::format("'{}' has no attribute '{}'", object_description(object), key.as_bytes()));
  }
  Text shown;
  LOTSE_TRY(append_repr(budget_, shown, key));
  return Value::undefined(
      fmt::format("{} has no element {}", object_description(object), shown.bytes()));
}

Result<Value> Interpreter::call(const Value& callee, Arguments arguments) {
  LOTSE_TRY(budget_.step());
  LOTSE_TRY(require_defined(callee));
  switch (callee.kind()) {
    case Kind::macro:
      return call_macro(callee.as_macro(), std::move(arguments));
    case Kind::method:
      return call_method(*this, callee.as_method(), std::move(arguments));
    case Kind::function:
      return call_function(*this, callee.as_function(), std::move(arguments));
    default:
      return fail(ErrorCode::invalid_input, "'{}' object is not callable", type_name(callee));
  }
}

Result<void> Interpreter::bind_parameters(Frame& frame, const MacroStmt& macro,
                                          Arguments& arguments) {
  const size_t count = macro.parameters.size();
  const size_t given = std::min(arguments.positional.size(), count);
  for (size_t i = 0; i < count; ++i) {
    const Expr& parameter = *macro.parameters[i];
    slot(frame, parameter.ref) =
        i < given ? arguments.positional[i] : arguments.take(parameter.text);
  }
  if (macro.caller_slot >= 0) {
    Value caller = arguments.take("caller");
    if (caller.is(Kind::missing) || caller.is(Kind::none)) {
      caller = Value::undefined("No caller defined");
    }
    frame.slots[static_cast<size_t>(macro.caller_slot)] = std::move(caller);
  }
  if (macro.kwargs_slot >= 0) {
    auto rest = std::make_shared<Dict>();
    for (auto& [name, value] : arguments.named) {
      LOTSE_TRY(rest->set(budget_, Value::string(name, true), std::move(value)));
    }
    frame.slots[static_cast<size_t>(macro.kwargs_slot)] = wrap_dict(std::move(rest));
  } else if (!arguments.named.empty()) {
    return fail(ErrorCode::invalid_input, "macro '{}' takes no keyword argument '{}'", macro.name,
                arguments.named.front().first);
  }
  if (macro.varargs_slot >= 0) {
    std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(given),
                            arguments.positional.end());
    frame.slots[static_cast<size_t>(macro.varargs_slot)] =
        LOTSE_TRY(make_list(budget_, std::move(rest), Flavour::tuple));
  } else if (arguments.positional.size() > count) {
    return fail(ErrorCode::invalid_input, "macro '{}' takes not more than {} argument(s)",
                macro.name, count);
  }
  return {};
}

}  // namespace lotse::jinja
