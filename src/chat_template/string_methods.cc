// The methods of str. Results are built from slices of the text, so that marks follow.
#include <algorithm>
#include <array>
#include <optional>

#include "base/utf8.h"
#include "chat_template/arguments.h"
#include "chat_template/formatting.h"
#include "chat_template/methods.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/text_operations.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

// A call of a method: the string, and what to compute with.
struct StringCall {
  Interpreter& interpreter;
  Budget& budget;
  const String& self;
  std::string_view name;
  Arguments arguments;

  const Text& text() const { return self.text; }
  Value result(Text value) const { return Value::string(std::move(value), self.markup); }
  Result<std::vector<Value>> bind(std::initializer_list<std::string_view> parameters,
                                  size_t required, size_t positional_only) {
    return bind_arguments(name, std::move(arguments), parameters, required, positional_only);
  }
};

// The string argument that is put into the text: escaped where the text is markup.
Result<Text> inserted_text(StringCall& call, const Value& argument) {
  const Value value = LOTSE_TRY(string_argument(call.name, argument));
  if (!call.self.markup || value.as_string().markup) return value.as_string().text;
  return escape_html(call.budget, value.as_string().text);
}

Result<Value> call_case(StringCall& call) {
  LOTSE_TRY(call.bind({}, 0, 0));
  return call.result(LOTSE_TRY(map_case(call.budget, call.text(), call.name)));
}

Result<Value> call_strip(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"chars"}, 0, 1));
  const Value& set = bound[0];
  const bool left = call.name != "rstrip";
  const bool right = call.name != "lstrip";
  std::optional<std::string> characters;
  if (!set.is(Kind::missing) && !set.is(Kind::none)) {
    characters = LOTSE_TRY(string_argument(call.name, set)).as_bytes();
  }
  return call.result(LOTSE_TRY(strip(call.budget, call.text(), characters, left, right)));
}

Result<Value> call_split(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"sep", "maxsplit"}, 0, 0));
  const int64_t limit = LOTSE_TRY(integer_argument(call.name, bound[1], -1));
  const bool from_right = call.name == "rsplit";
  std::vector<Text> parts;
  if (bound[0].is(Kind::missing) || bound[0].is(Kind::none)) {
    parts = LOTSE_TRY(split_space(call.budget, call.text(), limit, from_right));
  } else {
    const Value separator = LOTSE_TRY(string_argument(call.name, bound[0]));
    if (separator.as_bytes().empty()) return fail(ErrorCode::invalid_input, "empty separator");
    parts = LOTSE_TRY(split(call.budget, call.text(), separator.as_bytes(), limit, from_right));
  }
  return text_list(call.budget, std::move(parts), call.self.markup);
}

Result<Value> call_splitlines(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"keepends"}, 0, 0));
  const bool keep = boolean_argument(bound[0], false);
  return text_list(call.budget, LOTSE_TRY(split_lines(call.budget, call.text(), keep)),
                   call.self.markup);
}

Result<Value> call_partition(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"sep"}, 1, 1));
  const Value separator = LOTSE_TRY(string_argument(call.name, bound[0]));
  const std::string& needle = separator.as_bytes();
  if (needle.empty()) return fail(ErrorCode::invalid_input, "empty separator");
  const Text& text = call.text();
  LOTSE_TRY(call.budget.grow(static_cast<int64_t>(text.size())));
  const bool from_right = call.name == "rpartition";
  const size_t at =
      from_right ? rfind_bytes(text.bytes(), needle) : find_bytes(text.bytes(), needle, 0);
  std::vector<Value> parts;
  if (at != std::string::npos) {
    parts.push_back(call.result(text.slice(0, at)));
    parts.push_back(call.result(text.slice(at, at + needle.size())));
    parts.push_back(call.result(text.slice(at + needle.size(), text.size())));
  } else {
    parts.assign(3, call.result(Text()));
    parts[from_right ? 2 : 0] = call.result(text);
  }
  return make_list(call.budget, std::move(parts), Flavour::tuple);
}

Result<Value> call_replace(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"old", "new", "count"}, 2, 3));
  const Value old_text = LOTSE_TRY(string_argument(call.name, bound[0]));
  const Text new_text = LOTSE_TRY(inserted_text(call, bound[1]));
  const int64_t count = LOTSE_TRY(integer_argument(call.name, bound[2], -1));
  return call.result(
      LOTSE_TRY(replace(call.budget, call.text(), old_text.as_bytes(), new_text, count)));
}

Result<Value> call_join(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"iterable"}, 1, 1));
  std::vector<Text> parts;
  for (const Value& item : LOTSE_TRY(iterate(call.budget, bound[0]))) {
    if (!item.is(Kind::string)) {
      return fail(ErrorCode::invalid_input, "join: sequence item {}: expected str, {} found",
                  parts.size(), type_name(item));
    }
    parts.push_back(LOTSE_TRY(inserted_text(call, item)));
  }
  return call.result(LOTSE_TRY(join(call.budget, call.text(), parts)));
}

// The bytes [begin, end) that a method's start and end arguments mean; nothing when the start is
// behind the end of the text.
struct Range {
  size_t begin;
  size_t end;
};

Result<std::optional<Range>> search_range(StringCall& call, const Value& start, const Value& stop) {
  const auto bound = [&](const Value& value, int64_t fallback) -> Result<int64_t> {
    if (value.is(Kind::none)) return fallback;
    const int64_t index = LOTSE_TRY(integer_argument(call.name, value, fallback));
    return index < 0 ? std::max<int64_t>(index + call.self.length, 0) : index;
  };
  const int64_t first = LOTSE_TRY(bound(start, 0));
  const int64_t last = std::min(LOTSE_TRY(bound(stop, call.self.length)), call.self.length);
  LOTSE_TRY(call.budget.scan(call.text().size()));
  if (first > last) return std::optional<Range>();
  const std::string& bytes = call.text().bytes();
  return std::optional<Range>({byte_of_character(bytes, first), byte_of_character(bytes, last)});
}

Result<Value> call_find(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"sub", "start", "end"}, 1, 3));
  const Value needle = LOTSE_TRY(string_argument(call.name, bound[0]));
  const auto range = LOTSE_TRY(search_range(call, bound[1], bound[2]));
  size_t found = std::string::npos;
  if (range) {
    const std::string_view searched =
        std::string_view(call.text().bytes()).substr(range->begin, range->end - range->begin);
    found = call.name.starts_with('r') ? rfind_bytes(searched, needle.as_bytes())
                                       : find_bytes(searched, needle.as_bytes(), 0);
  }
  if (found != std::string::npos) {
    const std::string_view before =
        std::string_view(call.text().bytes()).substr(0, range->begin + found);
    return Value::integer(count_characters(before));
  }
  if (call.name.ends_with("index")) return fail(ErrorCode::invalid_input, "substring not found");
  return Value::integer(-1);
}

Result<Value> call_count(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"sub", "start", "end"}, 1, 3));
  const Value needle = LOTSE_TRY(string_argument(call.name, bound[0]));
  const auto range = LOTSE_TRY(search_range(call, bound[1], bound[2]));
  if (!range) return Value::integer(0);
  const std::string_view searched =
      std::string_view(call.text().bytes()).substr(range->begin, range->end - range->begin);
  if (needle.as_bytes().empty()) return Value::integer(count_characters(searched) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = find_bytes(searched, needle.as_bytes(), at)) != std::string::npos;
       at += needle.as_bytes().size()) {
    LOTSE_TRY(call.budget.step());
    ++count;
  }
  return Value::integer(count);
}

Result<Value> call_startswith(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"prefix", "start", "end"}, 1, 3));
  const auto range = LOTSE_TRY(search_range(call, bound[1], bound[2]));
  std::vector<Value> choices = {bound[0]};
  if (bound[0].is_list(Flavour::tuple)) choices = bound[0].as_list().items;
  for (const Value& choice : choices) {
    const Value affix = LOTSE_TRY(string_argument(call.name, choice));
    if (!range) continue;
    const std::string_view searched =
        std::string_view(call.text().bytes()).substr(range->begin, range->end - range->begin);
    const bool match = call.name == "startswith" ? searched.starts_with(affix.as_bytes())
                                                 : searched.ends_with(affix.as_bytes());
    if (match) return Value::boolean(true);
  }
  return Value::boolean(false);
}

Result<Value> call_remove_affix(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"affix"}, 1, 1));
  const Value affix = LOTSE_TRY(string_argument(call.name, bound[0]));
  const Text& text = call.text();
  LOTSE_TRY(call.budget.grow(static_cast<int64_t>(text.size())));
  const size_t size = affix.as_bytes().size();
  if (call.name == "removeprefix" && text.bytes().starts_with(affix.as_bytes())) {
    return call.result(text.slice(size, text.size()));
  }
  if (call.name == "removesuffix" && text.bytes().ends_with(affix.as_bytes())) {
    return call.result(text.slice(0, text.size() - size));
  }
  return call.result(text);
}

Result<Value> call_justify(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"width", "fillchar"}, 1, 2));
  const int64_t width = LOTSE_TRY(integer_argument(call.name, bound[0], 0));
  Text fill(" ", true);
  if (!bound[1].is(Kind::missing)) {
    const Value given = LOTSE_TRY(string_argument(call.name, bound[1]));
    if (given.as_string().length != 1) {
      return fail(ErrorCode::invalid_input,
                  "The fill character must be exactly one character long");
    }
    fill = given.as_string().text;
  }
  const char align = call.name == "ljust" ? '<' : (call.name == "rjust" ? '>' : '^');
  return call.result(LOTSE_TRY(justify(call.budget, call.text(), width, fill, align)));
}

Result<Value> call_zfill(StringCall& call) {
  const auto bound = LOTSE_TRY(call.bind({"width"}, 1, 1));
  const int64_t width = LOTSE_TRY(integer_argument(call.name, bound[0], 0));
  const Text& text = call.text();
  const bool sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  Text digits = text.slice(sign ? 1 : 0, text.size());
  const int64_t digits_width = width - (sign ? 1 : 0);
  Text filled = LOTSE_TRY(justify(call.budget, digits, digits_width, Text("0", true), '>'));
  Text out = text.slice(0, sign ? 1 : 0);
  out.append(filled);
  return call.result(std::move(out));
}

Result<Value> call_format(StringCall& call) {
  return format_string(call.interpreter, call.self, call.arguments);
}

Result<Value> call_predicate(StringCall& call) {
  LOTSE_TRY(call.bind({}, 0, 0));
  LOTSE_TRY(call.budget.scan(call.text().size() * 16));
  return Value::boolean(text_is(call.text().bytes(), call.name));
}

struct MethodRow {
  std::string_view name;
  Result<Value> (*call)(StringCall& call);  // null: not supported
};

constexpr MethodRow kMethods[] = {
    {"capitalize", call_case},
    {"casefold", nullptr},
    {"center", call_justify},
    {"count", call_count},
    {"encode", nullptr},
    {"endswith", call_startswith},
    {"expandtabs", nullptr},
    {"find", call_find},
    {"format", call_format},
    {"format_map", nullptr},
    {"index", call_find},
    {"isalnum", call_predicate},
    {"isalpha", call_predicate},
    {"isascii", call_predicate},
    {"isdecimal", call_predicate},
    {"isdigit", call_predicate},
    {"isidentifier", nullptr},
    {"islower", call_predicate},
    {"isnumeric", nullptr},
    {"isprintable", call_predicate},
    {"isspace", call_predicate},
    {"istitle", nullptr},
    {"isupper", call_predicate},
    {"join", call_join},
    {"ljust", call_justify},
    {"lower", call_case},
    {"lstrip", call_strip},
    {"maketrans", nullptr},
    {"partition", call_partition},
    {"removeprefix", call_remove_affix},
    {"removesuffix", call_remove_affix},
    {"replace", call_replace},
    {"rfind", call_find},
    {"rindex", call_find},
    {"rjust", call_justify},
    {"rpartition", call_partition},
    {"rsplit", call_split},
    {"rstrip", call_strip},
    {"split", call_split},
    {"splitlines", call_splitlines},
    {"startswith", call_startswith},
    {"strip", call_strip},
    {"swapcase", call_case},
    {"title", call_case},
    {"translate", nullptr},
    {"upper", call_case},
    {"zfill", call_zfill},
};

const MethodRow* find_method(std::string_view name) {
  const auto* row = std::ranges::find(kMethods, name, &MethodRow::name);
  return row == std::end(kMethods) ? nullptr : row;
}

}  // namespace

bool has_string_method(std::string_view name) { return find_method(name) != nullptr; }

Result<Value> call_string_method(Interpreter& interpreter, const Value& self, std::string_view name,
                                 Arguments arguments) {
  const MethodRow* row = find_method(name);
  if (row == nullptr || row->call == nullptr) {
    return fail(ErrorCode::unsupported, "the method str.{} is not supported", name);
  }
  StringCall call{interpreter, interpreter.budget(), self.as_string(), name, std::move(arguments)};
  return row->call(call);
}

}  // namespace lotse::jinja
