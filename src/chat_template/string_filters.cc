// The filters that give strings.
#include <algorithm>

#include "base/utf8.h"
#include "chat_template/arguments.h"
#include "chat_template/filters.h"
#include "chat_template/formatting.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/text_operations.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

// A string as it is, anything else printed: markupsafe's soft_str.
Result<Value> soft_string(Interpreter& interpreter, const Value& value) {
  if (value.is(Kind::string)) return value;
  return Value::string(LOTSE_TRY(to_text(interpreter.budget(), value)));
}

template <const char* method>
Result<Value> case_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments(method, std::move(arguments), {}));
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  const String& text = string.as_string();
  return Value::string(LOTSE_TRY(map_case(interpreter.budget(), text.text, method)), text.markup);
}

constexpr char kUpper[] = "upper";
constexpr char kLower[] = "lower";
constexpr char kCapitalize[] = "capitalize";

// Where a run of characters that are, or are not, between words ends.
size_t run_end(std::string_view bytes, size_t begin) {
  const auto separates = [&](const Utf8Char& c) {
    return is_space(c.code_point) || c.code_point == '-' || c.code_point == '(' ||
           c.code_point == '{' || c.code_point == '[' || c.code_point == '<';
  };
  const bool kind = separates(decode_utf8(bytes, begin));
  size_t end = begin;
  while (end < bytes.size()) {
    const Utf8Char c = decode_utf8(bytes, end);
    if (separates(c) != kind) break;
    end += static_cast<size_t>(c.length);
  }
  return end;
}

Result<Value> title_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("title", std::move(arguments), {}));
  Budget& budget = interpreter.budget();
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  const Text& text = string.as_string().text;
  LOTSE_TRY(budget.grow(static_cast<int64_t>(text.size())));
  Text out;
  for (size_t i = 0; i < text.size();) {
    LOTSE_TRY(budget.step());
    const size_t end = run_end(text.bytes(), i);
    const size_t second = i + static_cast<size_t>(decode_utf8(text.bytes(), i).length);
    out.append(LOTSE_TRY(map_case(budget, text.slice(i, second), "upper")));
    out.append(LOTSE_TRY(map_case(budget, text.slice(second, end), "lower")));
    i = end;
  }
  return Value::string(std::move(out));
}

Result<Value> trim_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("trim", std::move(arguments), {"chars"}));
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  std::optional<std::string> characters;
  if (!bound[0].is(Kind::missing) && !bound[0].is(Kind::none)) {
    characters = LOTSE_TRY(string_argument("trim", bound[0])).as_bytes();
  }
  const String& text = string.as_string();
  return Value::string(LOTSE_TRY(strip(interpreter.budget(), text.text, characters, true, true)),
                       text.markup);
}

Result<Value> replace_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("replace", std::move(arguments), {"old", "new", "count"}, 2));
  Budget& budget = interpreter.budget();
  const Text text = LOTSE_TRY(to_text(budget, input));
  const Text old_text = LOTSE_TRY(to_text(budget, bound[0]));
  const Text new_text = LOTSE_TRY(to_text(budget, bound[1]));
  const bool all = bound[2].is(Kind::none);
  const int64_t count = all ? -1 : LOTSE_TRY(integer_argument("replace", bound[2], -1));
  return Value::string(LOTSE_TRY(replace(budget, text, old_text.bytes(), new_text, count)));
}

Result<Value> string_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("string", std::move(arguments), {}));
  return soft_string(interpreter, input);
}

Result<Value> safe_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("safe", std::move(arguments), {}));
  return Value::string(LOTSE_TRY(to_text(interpreter.budget(), input)), true);
}

Result<Value> forceescape_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("escape", std::move(arguments), {}));
  Budget& budget = interpreter.budget();
  const Text text = LOTSE_TRY(to_text(budget, input));
  return Value::string(LOTSE_TRY(escape_html(budget, text)), true);
}

Result<Value> escape_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  if (input.is(Kind::string) && input.as_string().markup) return input;
  return forceescape_filter(interpreter, std::move(input), std::move(arguments));
}

Result<Text> indentation(Budget& budget, const Value& width) {
  if (width.is(Kind::string)) return width.as_string().text;
  const int64_t count = LOTSE_TRY(integer_argument("indent", width, 4));
  LOTSE_TRY(budget.grow(std::max<int64_t>(count, 0)));
  return Text(std::string(static_cast<size_t>(std::max<int64_t>(count, 0)), ' '), false);
}

Result<Value> indent_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("indent", std::move(arguments), {"width", "first", "blank"}));
  Budget& budget = interpreter.budget();
  const Value string = LOTSE_TRY(string_argument("indent", input));
  const Text indent = LOTSE_TRY(indentation(budget, bound[0]));
  const bool blank = boolean_argument(bound[2], false);
  Text text = string.as_string().text;
  text.append("\n", false);
  Text out;
  if (boolean_argument(bound[1], false)) out.append(indent);
  bool first = true;
  for (const Text& line : LOTSE_TRY(split_lines(budget, text, false))) {
    LOTSE_TRY(budget.grow(static_cast<int64_t>(line.size() + indent.size() + 1)));
    LOTSE_TRY(budget.check_output(out.size() + line.size() + indent.size() + 1));
    if (!std::exchange(first, false)) {
      out.append("\n", false);
      if (blank || !line.empty()) out.append(indent);
    }
    out.append(line);
  }
  return Value::string(std::move(out), string.as_string().markup);
}

Result<Value> center_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("center", std::move(arguments), {"width"}));
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  const int64_t width = LOTSE_TRY(integer_argument("center", bound[0], 80));
  const String& text = string.as_string();
  return Value::string(
      LOTSE_TRY(justify(interpreter.budget(), text.text, width, Text(" ", true), '^')),
      text.markup);
}

Result<Value> truncate_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(
      bind_arguments("truncate", std::move(arguments), {"length", "killwords", "end", "leeway"}));
  Budget& budget = interpreter.budget();
  if (input.is(Kind::undefined)) return input;
  const Value string = LOTSE_TRY(string_argument("truncate", input));
  const int64_t length = LOTSE_TRY(integer_argument("truncate", bound[0], 255));
  const bool keep = bound[3].is(Kind::none);
  const int64_t leeway = keep ? 5 : LOTSE_TRY(integer_argument("truncate", bound[3], 5));
  Value end = Value::string("...", true);
  if (!bound[2].is(Kind::missing)) end = LOTSE_TRY(string_argument("truncate", bound[2]));
  if (length < end.as_string().length || leeway < 0) {
    return fail(ErrorCode::invalid_input, "truncate: expected a length of at least {}",
                end.as_string().length);
  }
  if (string.as_string().length - leeway <= length) return string;
  const Text& text = string.as_string().text;
  Text kept = text.slice(0, byte_of_character(text.bytes(), length - end.as_string().length));
  if (!boolean_argument(bound[1], false)) {
    kept = LOTSE_TRY(split(budget, kept, " ", 1, true)).front();
  }
  return Value::string(LOTSE_TRY(concatenate(budget, kept, end.as_string().text)));
}

Result<Value> format_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  Budget& budget = interpreter.budget();
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  if (!arguments.named.empty()) {
    if (!arguments.positional.empty()) {
      return fail(ErrorCode::invalid_input,
                  "can't handle positional and keyword arguments at the same time");
    }
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : arguments.named) {
      LOTSE_TRY(dict->set(budget, Value::string(name, true), std::move(value)));
    }
    return percent_format(budget, string, wrap_dict(std::move(dict)));
  }
  return percent_format(
      budget, string,
      LOTSE_TRY(make_list(budget, std::move(arguments.positional), Flavour::tuple)));
}

Result<Value> wordcount_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("wordcount", std::move(arguments), {}));
  const Value string = LOTSE_TRY(soft_string(interpreter, input));
  const std::string& bytes = string.as_bytes();
  LOTSE_TRY(interpreter.budget().scan(bytes.size() * 4));
  int64_t count = 0;
  bool inside = false;
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    const bool word = is_alphabetic(c.code_point) || is_digit(c.code_point) || c.code_point == '_';
    if (word && !inside) ++count;
    inside = word;
    i += static_cast<size_t>(c.length);
  }
  return Value::integer(count);
}

Result<JsonStyle> json_style(Interpreter& interpreter, const std::vector<Value>& bound) {
  JsonStyle style;
  style.ensure_ascii = boolean_argument(bound[0], false);
  style.sort_keys = boolean_argument(bound[3], false);
  style.indented = !bound[1].is(Kind::missing) && !bound[1].is(Kind::none);
  if (style.indented) {
    style.indent = LOTSE_TRY(indentation(interpreter.budget(), bound[1])).bytes();
  }
  style.item_separator = Text(style.indented ? "," : ", ", false);
  style.key_separator = Text(": ", false);
  if (bound[2].is(Kind::missing) || bound[2].is(Kind::none)) return style;
  const std::vector<Value> separators = LOTSE_TRY(iterate(interpreter.budget(), bound[2]));
  if (separators.size() != 2) {
    return fail(ErrorCode::invalid_input, "tojson: separators must be two strings");
  }
  style.item_separator = LOTSE_TRY(string_argument("tojson", separators[0])).as_string().text;
  style.key_separator = LOTSE_TRY(string_argument("tojson", separators[1])).as_string().text;
  return style;
}

Result<Value> tojson_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments(
      "tojson", std::move(arguments), {"ensure_ascii", "indent", "separators", "sort_keys"}));
  const JsonStyle style = LOTSE_TRY(json_style(interpreter, bound));
  return Value::string(LOTSE_TRY(to_json(interpreter.budget(), input, style)));
}

constexpr FilterRow kStringFilters[] = {
    {"capitalize", case_filter<kCapitalize>},
    {"center", center_filter},
    {"e", escape_filter},
    {"escape", escape_filter},
    {"forceescape", forceescape_filter},
    {"format", format_filter},
    {"indent", indent_filter},
    {"lower", case_filter<kLower>},
    {"replace", replace_filter},
    {"safe", safe_filter},
    {"string", string_filter},
    {"title", title_filter},
    {"tojson", tojson_filter},
    {"trim", trim_filter},
    {"truncate", truncate_filter},
    {"upper", case_filter<kUpper>},
    {"wordcount", wordcount_filter},
};

}  // namespace

Filter find_string_filter(std::string_view name) {
  const auto* row = std::ranges::find(kStringFilters, name, &FilterRow::name);
  return row == std::end(kStringFilters) ? nullptr : row->filter;
}

}  // namespace lotse::jinja
