#include "chat_template/tests.h"

#include <algorithm>

#include "chat_template/arguments.h"
#include "chat_template/filters.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/text_operations.h"

namespace lotse::jinja {
namespace {

// A test without arguments that asks for a property of the value alone.
template <bool (*property)(const Value&)>
Result<bool> simple(Interpreter&, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("the test", std::move(arguments), {}));
  return property(value);
}

bool is_defined(const Value& v) { return !v.is(Kind::undefined); }
bool is_undefined(const Value& v) { return v.is(Kind::undefined); }
bool is_none(const Value& v) { return v.is(Kind::none); }
bool is_boolean(const Value& v) { return v.is(Kind::boolean); }
bool is_true_constant(const Value& v) { return v.is(Kind::boolean) && v.as_boolean(); }
bool is_false_constant(const Value& v) { return v.is(Kind::boolean) && !v.as_boolean(); }
bool is_integer(const Value& v) { return v.is(Kind::integer); }
bool is_float(const Value& v) { return v.is(Kind::floating); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is(Kind::string); }
bool is_mapping(const Value& v) { return v.is(Kind::dict); }
bool is_escaped(const Value& v) { return v.is(Kind::string) && v.as_string().markup; }
// An undefined value has a length, items and a call, which fails.
bool is_sequence(const Value& v) {
  return v.is(Kind::string) || v.is(Kind::dict) || v.is(Kind::undefined) ||
         (v.is(Kind::list) && v.as_list().flavour <= Flavour::range);
}
bool is_callable(const Value& v) {
  return v.is(Kind::macro) || v.is(Kind::method) || v.is(Kind::function) || v.is(Kind::undefined) ||
         v.is(Kind::loop);
}

Result<Value> one_argument(Arguments arguments) {
  return std::move(
      LOTSE_TRY(bind_arguments("the test", std::move(arguments), {"other"}, 1)).front());
}

constexpr char kEqual[] = "==";
constexpr char kUnequal[] = "!=";
constexpr char kLess[] = "<";
constexpr char kLessEqual[] = "<=";
constexpr char kGreater[] = ">";
constexpr char kGreaterEqual[] = ">=";
constexpr char kIn[] = "in";

template <const char* op>
Result<bool> comparison(Interpreter& interpreter, const Value& value, Arguments arguments) {
  const Value other = LOTSE_TRY(one_argument(std::move(arguments)));
  return apply_comparison(interpreter.budget(), op, value, other);
}

Result<bool> remainder_is(Budget& budget, const Value& value, const Value& divisor,
                          int64_t remainder) {
  const Value actual = LOTSE_TRY(apply_binary(budget, "%", value, divisor));
  return equals(budget, actual, Value::integer(remainder));
}

Result<bool> odd(Interpreter& interpreter, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("odd", std::move(arguments), {}));
  return remainder_is(interpreter.budget(), value, Value::integer(2), 1);
}

Result<bool> even(Interpreter& interpreter, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("even", std::move(arguments), {}));
  return remainder_is(interpreter.budget(), value, Value::integer(2), 0);
}

Result<bool> divisible_by(Interpreter& interpreter, const Value& value, Arguments arguments) {
  const Value divisor = LOTSE_TRY(one_argument(std::move(arguments)));
  return remainder_is(interpreter.budget(), value, divisor, 0);
}

Result<bool> lower(Interpreter& interpreter, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("lower", std::move(arguments), {}));
  return text_is(LOTSE_TRY(to_text(interpreter.budget(), value)).bytes(), "islower");
}

Result<bool> upper(Interpreter& interpreter, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("upper", std::move(arguments), {}));
  return text_is(LOTSE_TRY(to_text(interpreter.budget(), value)).bytes(), "isupper");
}

Result<bool> same_as(Interpreter&, const Value& value, Arguments arguments) {
  return value.same_as(LOTSE_TRY(one_argument(std::move(arguments))));
}

Result<bool> filter_exists(Interpreter&, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("filter", std::move(arguments), {}));
  return value.is(Kind::string) && find_filter(value.as_bytes()) != nullptr;
}

Result<bool> test_exists(Interpreter&, const Value& value, Arguments arguments) {
  LOTSE_TRY(bind_arguments("test", std::move(arguments), {}));
  return value.is(Kind::string) && find_test(value.as_bytes()) != nullptr;
}

struct TestRow {
  std::string_view name;
  Test test;
};

constexpr TestRow kTests[] = {
    {"!=", comparison<kUnequal>},
    {"<", comparison<kLess>},
    {"<=", comparison<kLessEqual>},
    {"==", comparison<kEqual>},
    {">", comparison<kGreater>},
    {">=", comparison<kGreaterEqual>},
    {"boolean", simple<is_boolean>},
    {"callable", simple<is_callable>},
    {"defined", simple<is_defined>},
    {"divisibleby", divisible_by},
    {"eq", comparison<kEqual>},
    {"equalto", comparison<kEqual>},
    {"escaped", simple<is_escaped>},
    {"even", even},
    {"false", simple<is_false_constant>},
    {"filter", filter_exists},
    {"float", simple<is_float>},
    {"ge", comparison<kGreaterEqual>},
    {"greaterthan", comparison<kGreater>},
    {"gt", comparison<kGreater>},
    {"in", comparison<kIn>},
    {"integer", simple<is_integer>},
    {"iterable", simple<is_iterable>},
    {"le", comparison<kLessEqual>},
    {"lessthan", comparison<kLess>},
    {"lower", lower},
    {"lt", comparison<kLess>},
    {"mapping", simple<is_mapping>},
    {"ne", comparison<kUnequal>},
    {"none", simple<is_none>},
    {"number", simple<is_number>},
    {"odd", odd},
    {"sameas", same_as},
    {"sequence", simple<is_sequence>},
    {"string", simple<is_string>},
    {"test", test_exists},
    {"true", simple<is_true_constant>},
    {"undefined", simple<is_undefined>},
    {"upper", upper},
};

}  // namespace

Test find_test(std::string_view name) {
  const auto* row = std::ranges::find(kTests, name, &TestRow::name);
  return row == std::end(kTests) ? nullptr : row->test;
}

}  // namespace lotse::jinja
