// The filters that give numbers.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "chat_template/arguments.h"
#include "chat_template/filters.h"
#include "chat_template/operators.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = skip_space(text, 0);
  return text.substr(begin, trim_space(text, begin, text.size()) - begin);
}

// Takes single underscores between digits out, as Python permits them; false for misplaced ones.
bool drop_underscores(std::string& text) {
  const auto digit = [&](size_t i) {
    return i < text.size() && std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && (i == 0 || !digit(i - 1) || !digit(i + 1))) return false;
  }
  std::erase(text, '_');
  return true;
}

std::unexpected<Error> beyond_64_bits() {
  return fail(ErrorCode::unsupported, "int: an integer beyond 64 bits");
}

// Python's int(text, base); nothing where Python raises ValueError.
Result<std::optional<int64_t>> parse_integer(std::string_view text, int64_t base) {
  std::string digits(trimmed(text));
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  const char letter =
      digits.size() > 2 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : '0';
  const int64_t prefix = letter == 'x' ? 16 : (letter == 'o' ? 8 : (letter == 'b' ? 2 : 0));
  if (prefix != 0 && (base == prefix || base == 0)) {
    base = prefix;
    digits.erase(0, digits[2] == '_' ? 3 : 2);
  } else if (base == 0) {
    base = 10;
    if (digits.size() > 1 && digits[0] == '0') return std::optional<int64_t>();
  }
  if (base < 2 || base > 36 || digits.empty() || !drop_underscores(digits)) {
    return std::optional<int64_t>();
  }
  int64_t value = 0;
  digits.insert(0, negative ? "-" : "");
  if (digits.starts_with("--")) return std::optional<int64_t>();
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, static_cast<int>(base));
  if (parsed.ptr != digits.data() + digits.size()) return std::optional<int64_t>();
  if (parsed.ec == std::errc::result_out_of_range) return beyond_64_bits();
  if (parsed.ec != std::errc()) return std::optional<int64_t>();
  return std::optional<int64_t>(value);
}

// Python's float(text); nothing where Python raises ValueError.
std::optional<double> parse_float(std::string_view text) {
  std::string digits(trimmed(text));
  if (!drop_underscores(digits) || digits.empty()) return std::nullopt;
  std::string lower = digits;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  const std::string_view name =
      std::string_view(lower).substr(lower[0] == '-' || lower[0] == '+' ? 1 : 0);
  const bool named = name == "inf" || name == "infinity" || name == "nan";
  if (!named && lower.find_first_not_of("0123456789.e+-") != std::string::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double value = std::strtod(lower.c_str(), &end);
  if (end != lower.c_str() + lower.size()) return std::nullopt;
  return value;
}

Result<Value> to_integer(double value) {
  if (!(value > -0x1p63 && value < 0x1p63)) return beyond_64_bits();
  return Value::integer(static_cast<int64_t>(value));
}

Result<Value> int_filter(Interpreter&, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("int", std::move(arguments), {"default", "base"}));
  const Value fallback = bound[0].is(Kind::missing) ? Value::integer(0) : bound[0];
  const int64_t base = LOTSE_TRY(integer_argument("int", bound[1], 10));
  LOTSE_TRY(require_defined(input));
  if (input.is(Kind::string)) {
    const auto integer = LOTSE_TRY(parse_integer(input.as_bytes(), base));
    if (integer) return Value::integer(*integer);
    const auto real = parse_float(input.as_bytes());
    if (!real || !std::isfinite(*real)) return fallback;
    return to_integer(*real);
  }
  if (!input.is_number()) return fallback;
  if (!input.is(Kind::floating)) return Value::integer(input.as_integer());
  if (std::isnan(input.as_floating())) return fallback;
  if (std::isinf(input.as_floating())) {
    return fail(ErrorCode::invalid_input, "cannot convert float infinity to integer");
  }
  return to_integer(input.as_floating());
}

Result<Value> float_filter(Interpreter&, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("float", std::move(arguments), {"default"}));
  const Value fallback = bound[0].is(Kind::missing) ? Value::floating(0) : bound[0];
  LOTSE_TRY(require_defined(input));
  if (input.is_number()) return Value::floating(input.as_number());
  if (!input.is(Kind::string)) return fallback;
  const auto real = parse_float(input.as_bytes());
  return real ? Value::floating(*real) : fallback;
}

Result<Value> abs_filter(Interpreter&, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("abs", std::move(arguments), {}));
  LOTSE_TRY(require_defined(input));
  if (!input.is_number()) {
    return fail(ErrorCode::invalid_input, "bad operand type for abs(): '{}'", type_name(input));
  }
  if (input.is(Kind::floating)) return Value::floating(std::fabs(input.as_floating()));
  return input.as_integer() < 0 ? negate(input) : Value::integer(input.as_integer());
}

// Python's round of a float: to the nearest decimal, by the exact binary value.
double round_decimal(double value, int64_t digits) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Result<Value> round_filter(Interpreter&, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("round", std::move(arguments), {"precision", "method"}));
  const int64_t digits = LOTSE_TRY(integer_argument("round", bound[0], 0));
  const std::string method = bound[1].is(Kind::missing)
                                 ? "common"
                                 : LOTSE_TRY(string_argument("round", bound[1])).as_bytes();
  LOTSE_TRY(require_defined(input));
  if (method != "common" && method != "ceil" && method != "floor") {
    return fail(ErrorCode::invalid_input, "method must be common, ceil or floor");
  }
  if (!input.is_number()) {
    return fail(ErrorCode::invalid_input, "round: '{}' is not a number", type_name(input));
  }
  if (digits < 0 || digits > 100) {
    return fail(ErrorCode::unsupported, "round: a precision of {} digits", digits);
  }
  if (method == "common") {
    if (!input.is(Kind::floating)) return Value::integer(input.as_integer());
    if (!std::isfinite(input.as_floating())) return input;
    return Value::floating(round_decimal(input.as_floating(), digits));
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = input.as_number() * scale;
  if (!std::isfinite(scaled)) {
    return fail(ErrorCode::invalid_input, "cannot convert float infinity or NaN to integer");
  }
  return Value::floating((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

constexpr FilterRow kNumberFilters[] = {
    {"abs", abs_filter},
    {"float", float_filter},
    {"int", int_filter},
    {"round", round_filter},
};

}  // namespace

Filter find_number_filter(std::string_view name) {
  const auto* row = std::ranges::find(kNumberFilters, name, &FilterRow::name);
  return row == std::end(kNumberFilters) ? nullptr : row->filter;
}

}  // namespace lotse::jinja
