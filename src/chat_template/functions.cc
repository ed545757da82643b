// The global functions: range, dict, namespace, raise_exception, strftime_now.
#include <ctime>

#include "chat_template/arguments.h"
#include "chat_template/methods.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"

namespace lotse::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // the sandbox's MAX_RANGE

Result<Value> call_range(Interpreter& interpreter, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("range", std::move(arguments), {"start", "stop", "step"}, 1, 3));
  const bool one = bound[1].is(Kind::missing);
  const int64_t first = LOTSE_TRY(integer_argument("range", bound[0], 0));
  const int64_t start = one ? 0 : first;
  const int64_t stop = one ? first : LOTSE_TRY(integer_argument("range", bound[1], 0));
  const int64_t step = LOTSE_TRY(integer_argument("range", bound[2], 1));
  if (step == 0) return fail(ErrorCode::invalid_input, "range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) {
      return fail(ErrorCode::limit, "Range too big. The sandbox blocks ranges larger than {}.",
                  kMaxRange);
    }
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return make_list(interpreter.budget(), std::move(items), Flavour::range);
}

// dict(mapping or pairs, **more).
Result<std::shared_ptr<Dict>> make_dict(Interpreter& interpreter, Arguments arguments) {
  Budget& budget = interpreter.budget();
  auto dict = std::make_shared<Dict>();
  if (arguments.positional.size() > 1) {
    return fail(ErrorCode::invalid_input, "dict expected at most 1 argument, got {}",
                arguments.positional.size());
  }
  for (const Value& source : arguments.positional) {
    LOTSE_TRY(require_defined(source));
    if (source.is(Kind::dict)) {
      LOTSE_TRY(budget.grow_items(source.as_dict().size()));
      *dict = source.as_dict();
      continue;
    }
    for (const Value& pair : LOTSE_TRY(iterate(budget, source))) {
      const std::vector<Value> parts = LOTSE_TRY(iterate(budget, pair));
      if (parts.size() != 2) {
        return fail(ErrorCode::invalid_input, "dict: an element has length {}; 2 is required",
                    parts.size());
      }
      LOTSE_TRY(dict->set(budget, parts[0], parts[1]));
    }
  }
  for (auto& [name, value] : arguments.named) {
    LOTSE_TRY(dict->set(budget, Value::string(name, true), std::move(value)));
  }
  return dict;
}

Result<Value> call_namespace(Interpreter& interpreter, Arguments arguments) {
  LOTSE_TRY(interpreter.budget().grow(256));
  auto attributes = LOTSE_TRY(make_dict(interpreter, std::move(arguments)));
  for (const auto& [key, value] : attributes->entries()) {
    if (key.is(Kind::string) && key.as_bytes().starts_with('_')) {
      return fail(ErrorCode::invalid_input, "a namespace cannot have the attribute '{}'",
                  key.as_bytes());
    }
  }
  auto created = std::make_shared<Namespace>();
  created->attributes = std::move(attributes);
  return interpreter.keep_namespace(std::move(created));
}

Result<Value> call_raise_exception(Interpreter& interpreter, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("raise_exception", std::move(arguments), {"message"}, 1));
  const Text message = LOTSE_TRY(to_text(interpreter.budget(), bound[0]));
  return fail(ErrorCode::invalid_input, "{}", message.bytes());
}

std::tm local_time(const RenderOptions& options) {
  if (options.local_time) return options.local_time();
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

// strftime of one directive, "%Y", with an optional glibc flag, "%-d".
Result<std::string> format_time(const std::string& directive, const std::tm& time) {
  const char letter = directive.back();
  if (letter == 'z' || letter == 'Z') return std::string();  // Python's time has no zone
  if (letter == 'f') return std::string("000000");
  if (std::string_view("aAbBcCdDeFgGhHIjklmMnprRStTuUVwWxXyY%").find(letter) ==
      std::string_view::npos) {
    return fail(ErrorCode::unsupported, "strftime_now: the directive {} is not supported",
                directive);
  }
  char buffer[128];
  const size_t length = std::strftime(buffer, sizeof buffer, directive.c_str(), &time);
  return std::string(buffer, length);
}

Result<Value> call_strftime_now(Interpreter& interpreter, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("strftime_now", std::move(arguments), {"format"}, 1));
  const Value format = LOTSE_TRY(string_argument("strftime_now", bound[0]));
  const Text& text = format.as_string().text;
  const std::string& bytes = text.bytes();
  const std::tm time = local_time(interpreter.options());
  Text out;
  for (size_t i = 0; i < bytes.size();) {
    if (bytes[i] != '%') {
      const size_t end = std::min(bytes.find('%', i), bytes.size());
      out.append_slice(text, i, end);
      i = end;
      continue;
    }
    size_t end = i + 1;
    if (end < bytes.size() &&
        std::string_view("-_0^#").find(bytes[end]) != std::string_view::npos) {
      ++end;
    }
    if (end >= bytes.size()) return fail(ErrorCode::unsupported, "strftime_now: a '%' at the end");
    LOTSE_TRY(interpreter.budget().grow(128));
    out.append(LOTSE_TRY(format_time(bytes.substr(i, end + 1 - i), time)), text.trusted_at(i));
    i = end + 1;
  }
  return Value::string(std::move(out));
}

}  // namespace

Result<Value> call_function(Interpreter& interpreter, Function function, Arguments arguments) {
  switch (function) {
    case Function::range:
      return call_range(interpreter, std::move(arguments));
    case Function::dict:
      return wrap_dict(LOTSE_TRY(make_dict(interpreter, std::move(arguments))));
    case Function::name_space:
      return call_namespace(interpreter, std::move(arguments));
    case Function::raise_exception:
      return call_raise_exception(interpreter, std::move(arguments));
    case Function::strftime_now:
      return call_strftime_now(interpreter, std::move(arguments));
    case Function::generation:
      return interpreter.call(arguments.take("caller"), {});
  }
  return Value();
}

}  // namespace lotse::jinja
