#include "chat_template/operators.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/utf8.h"
#include "chat_template/formatting.h"
#include "chat_template/printing.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

std::unexpected<Error> unsupported_operands(std::string_view op, const Value& a, const Value& b) {
  return fail(ErrorCode::invalid_input, "unsupported operand types for {}: '{}' and '{}'", op,
              type_name(a), type_name(b));
}

std::unexpected<Error> overflow(std::string_view op) {
  return fail(ErrorCode::unsupported, "the result of {} is beyond 64 bits", op);
}

std::unexpected<Error> zero_division() {
  return fail(ErrorCode::invalid_input, "division by zero");
}

Result<Value> integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
      return overflow("**");
    }
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow("**");
  }
  return Value::integer(result);
}

Result<Value> float_power(double base, double exponent) {
  if (base == 0 && exponent < 0) return zero_division();
  if (base < 0 && std::isfinite(exponent) && std::trunc(exponent) != exponent) {
    return fail(ErrorCode::unsupported, "complex numbers");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) return overflow("**");
  return Value::floating(result);
}

Result<Value> integer_binary(std::string_view op, int64_t a, int64_t b) {
  if (op == "**") {
    if (b >= 0) return integer_power(a, b);
    return float_power(static_cast<double>(a), static_cast<double>(b));
  }
  int64_t result = 0;
  bool overflowed = false;
  if (op == "+") overflowed = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflowed = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflowed = __builtin_mul_overflow(a, b, &result);
  if (op == "/" || op == "//" || op == "%") {
    if (b == 0) return zero_division();
    if (op == "/") return Value::floating(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) {
      overflowed = op == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      const int64_t remainder = a % b;
      const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
      result = op == "%" ? remainder + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
    }
  }
  if (overflowed) return overflow(op);
  return Value::integer(result);
}

// Python's float modulo: the sign of the divisor.
double float_modulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  return remainder == 0 ? std::copysign(0.0, b) : remainder;
}

double float_floor_division(double a, double b) {
  const double remainder = float_modulo(a, b);
  const double quotient = (a - remainder) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Result<Value> float_binary(std::string_view op, double a, double b) {
  if (op == "+") return Value::floating(a + b);
  if (op == "-") return Value::floating(a - b);
  if (op == "*") return Value::floating(a * b);
  if (op == "**") return float_power(a, b);
  if (b == 0) return zero_division();
  if (op == "/") return Value::floating(a / b);
  return Value::floating(op == "%" ? float_modulo(a, b) : float_floor_division(a, b));
}

Result<Value> add_strings(Budget& budget, const String& a, const String& b) {
  const bool markup = a.markup || b.markup;
  Text left = markup && !a.markup ? LOTSE_TRY(escape_html(budget, a.text)) : a.text;
  const Text right = markup && !b.markup ? LOTSE_TRY(escape_html(budget, b.text)) : b.text;
  LOTSE_TRY(budget.grow(static_cast<int64_t>(left.size() + right.size())));
  left.append(right);
  return Value::string(std::move(left), markup);
}

bool is_sequence(const Value& value) {
  return value.is_list(Flavour::list) || value.is_list(Flavour::tuple);
}

Result<Value> repeat(Budget& budget, const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  if (value.is(Kind::string)) {
    const String& string = value.as_string();
    const auto size = checked_mul(static_cast<int64_t>(string.text.size()), count);
    LOTSE_TRY(budget.grow(size.value_or(INT64_MAX)));
    Text text;
    for (int64_t i = 0; i < count && !string.text.empty(); ++i) text.append(string.text);
    return Value::string(std::move(text), string.markup);
  }
  const std::vector<Value>& items = value.as_list().items;
  const auto size = checked_mul(static_cast<int64_t>(items.size()), count);
  const auto bytes = checked_mul(size.value_or(INT64_MAX), 32);
  LOTSE_TRY(budget.grow(bytes.value_or(INT64_MAX)));
  std::vector<Value> repeated;
  for (int64_t i = 0; i < count && !items.empty(); ++i) {
    repeated.insert(repeated.end(), items.begin(), items.end());
  }
  return make_list(budget, std::move(repeated), value.as_list().flavour);
}

Result<Value> add_lists(Budget& budget, const List& a, const List& b) {
  LOTSE_TRY(budget.grow_items(a.items.size() + b.items.size()));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return make_list(budget, std::move(items), a.flavour);
}

bool is_integer(const Value& value) { return value.is(Kind::integer) || value.is(Kind::boolean); }

}  // namespace

Result<void> require_defined(const Value& value) {
  if (!value.is(Kind::undefined)) return {};
  return fail(ErrorCode::invalid_input, "{}", value.as_undefined().message);
}

Result<Text> concatenate(Budget& budget, const Text& a, const Text& b) {
  LOTSE_TRY(budget.grow(static_cast<int64_t>(a.size() + b.size())));
  Text text = a;
  text.append(b);
  return text;
}

Result<Text> escape_html(Budget& budget, const Text& text) {
  LOTSE_TRY(budget.grow(static_cast<int64_t>(text.size())));
  Text out;
  size_t shown = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char* escape = nullptr;
    switch (text.bytes()[i]) {
      case '&':
        escape = "&amp;";
        break;
      case '<':
        escape = "&lt;";
        break;
      case '>':
        escape = "&gt;";
        break;
      case '\'':
        escape = "&#39;";
        break;
      case '"':
        escape = "&#34;";
        break;
      default:
        continue;
    }
    LOTSE_TRY(budget.grow(5));
    out.append_slice(text, shown, i);
    out.append(escape, text.trusted_at(i));
    shown = i + 1;
  }
  out.append_slice(text, shown, text.size());
  return out;
}

Result<Value> apply_binary(Budget& budget, std::string_view op, const Value& a, const Value& b) {
  LOTSE_TRY(require_defined(a));
  if (op == "%" && a.is(Kind::string)) return percent_format(budget, a, b);
  LOTSE_TRY(require_defined(b));
  if (is_integer(a) && is_integer(b)) return integer_binary(op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return float_binary(op, a.as_number(), b.as_number());
  if (op == "+") {
    if (a.is(Kind::string) && b.is(Kind::string)) {
      return add_strings(budget, a.as_string(), b.as_string());
    }
    if (is_sequence(a) && b.is(Kind::list) && a.as_list().flavour == b.as_list().flavour) {
      return add_lists(budget, a.as_list(), b.as_list());
    }
    if (a.is(Kind::string)) {
      return fail(ErrorCode::invalid_input, "can only concatenate str (not \"{}\") to str",
                  type_name(b));
    }
  }
  if (op == "*") {
    if (is_integer(b) && (a.is(Kind::string) || is_sequence(a))) {
      return repeat(budget, a, b.as_integer());
    }
    if (is_integer(a) && (b.is(Kind::string) || is_sequence(b))) {
      return repeat(budget, b, a.as_integer());
    }
  }
  return unsupported_operands(op, a, b);
}

Result<Value> negate(const Value& value) {
  LOTSE_TRY(require_defined(value));
  if (value.is(Kind::floating)) return Value::floating(-value.as_floating());
  if (!is_integer(value)) {
    return fail(ErrorCode::invalid_input, "bad operand type for unary -: '{}'", type_name(value));
  }
  if (value.as_integer() == INT64_MIN) return overflow("-");
  return Value::integer(-value.as_integer());
}

Result<Value> unary_plus(const Value& value) {
  LOTSE_TRY(require_defined(value));
  if (value.is(Kind::floating)) return value;
  if (is_integer(value)) return Value::integer(value.as_integer());
  return fail(ErrorCode::invalid_input, "bad operand type for unary +: '{}'", type_name(value));
}

Result<bool> apply_comparison(Budget& budget, std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equals(budget, a, b);
  if (op == "!=") return !LOTSE_TRY(equals(budget, a, b));
  if (op == "in") return contains(budget, b, a);
  if (op == "not in") return !LOTSE_TRY(contains(budget, b, a));
  const std::string name(op);
  const int order = LOTSE_TRY(compare(budget, a, b, name.c_str()));
  if (op == "<") return order == -1;
  if (op == "<=") return order == -1 || order == 0;
  if (op == ">") return order == 1;
  return order == 1 || order == 0;
}

Result<bool> contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::undefined:
      return false;
    case Kind::string:
      if (!item.is(Kind::string)) {
        LOTSE_TRY(require_defined(item));
        return fail(ErrorCode::invalid_input,
                    "'in <string>' requires string as left operand, not {}", type_name(item));
      }
      LOTSE_TRY(budget.scan(container.as_bytes().size()));
      return find_bytes(container.as_bytes(), item.as_bytes(), 0) != std::string_view::npos;
    case Kind::dict:
      return LOTSE_TRY(container.as_dict().find(budget, item)) != nullptr;
    case Kind::list:
      for (const Value& candidate : LOTSE_TRY(iterate(budget, container))) {
        if (candidate.same_as(item) || LOTSE_TRY(equals(budget, candidate, item))) return true;
      }
      return false;
    case Kind::loop:
      return fail(ErrorCode::unsupported, "searching in 'loop'");
    default:
      return fail(ErrorCode::invalid_input, "argument of type '{}' is not iterable",
                  type_name(container));
  }
}

namespace {

Result<int64_t> slice_bound(const Value& value, int64_t fallback) {
  if (value.is(Kind::missing) || value.is(Kind::none)) return fallback;
  if (is_integer(value)) return value.as_integer();
  return fail(ErrorCode::invalid_input, "slice indices must be integers or None, not {}",
              type_name(value));
}

// Python's slice.indices: where a bound lies in a sequence of `length`.
int64_t clamp_bound(int64_t bound, int64_t length, bool backward) {
  if (bound < 0) bound += length;
  const int64_t low = backward ? -1 : 0;
  const int64_t high = backward ? length - 1 : length;
  return std::clamp(bound, low, std::max(low, high));
}

// The byte positions of characters 0 … length of a text.
std::vector<size_t> character_starts(const Text& text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size();) {
    starts.push_back(i);
    i += static_cast<size_t>(decode_utf8(text.bytes(), i).length);
  }
  starts.push_back(text.size());
  return starts;
}

Result<Value> slice_string(Budget& budget, const String& string, int64_t start, int64_t stop,
                           int64_t step) {
  const Text& text = string.text;
  if (step == 1) {
    if (start >= stop) return Value::string(Text(), string.markup);
    LOTSE_TRY(budget.scan(text.size()));
    const size_t begin =
        string.ascii() ? static_cast<size_t>(start) : byte_of_character(text.bytes(), start);
    const size_t end =
        string.ascii()
            ? static_cast<size_t>(stop)
            : begin + byte_of_character(std::string_view(text.bytes()).substr(begin), stop - start);
    LOTSE_TRY(budget.grow(static_cast<int64_t>(end - begin)));
    return Value::string(text.slice(begin, end), string.markup);
  }
  LOTSE_TRY(budget.grow(string.length * 16));
  const std::vector<size_t> starts = character_starts(text);
  Text out;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    const auto at = static_cast<size_t>(i);
    out.append_slice(text, starts[at], starts[at + 1]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::string(std::move(out), string.markup);
}

Result<Value> slice_list(Budget& budget, const List& list, int64_t start, int64_t stop,
                         int64_t step) {
  std::vector<Value> items;
  if (step == 1 && start < stop) {
    LOTSE_TRY(budget.grow(32 * (stop - start)));
    items.assign(list.items.begin() + start, list.items.begin() + stop);
  } else {
    LOTSE_TRY(budget.grow_items(list.items.size()));
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
      items.push_back(list.items[static_cast<size_t>(i)]);
      if (__builtin_add_overflow(i, step, &i)) break;
    }
  }
  return make_list(budget, std::move(items), list.flavour);
}

}  // namespace

Result<Value> slice(Budget& budget, const Value& object, const Value& start, const Value& stop,
                    const Value& step) {
  LOTSE_TRY(require_defined(object));
  const bool list = object.is(Kind::list) && object.as_list().flavour <= Flavour::range;
  if (!list && !object.is(Kind::string)) {
    return fail(ErrorCode::invalid_input, "'{}' object cannot be sliced", type_name(object));
  }
  const int64_t step_value = LOTSE_TRY(slice_bound(step, 1));
  if (step_value == 0) return fail(ErrorCode::invalid_input, "slice step cannot be zero");
  const bool backward = step_value < 0;
  const int64_t length =
      list ? static_cast<int64_t>(object.as_list().items.size()) : object.as_string().length;
  const auto bound = [&](const Value& value, int64_t fallback) -> Result<int64_t> {
    if (value.is(Kind::missing) || value.is(Kind::none)) return fallback;
    return clamp_bound(LOTSE_TRY(slice_bound(value, 0)), length, backward);
  };
  const int64_t first = LOTSE_TRY(bound(start, backward ? length - 1 : 0));
  const int64_t last = LOTSE_TRY(bound(stop, backward ? -1 : length));
  if (list) return slice_list(budget, object.as_list(), first, last, step_value);
  return slice_string(budget, object.as_string(), first, last, step_value);
}

}  // namespace lotse::jinja
