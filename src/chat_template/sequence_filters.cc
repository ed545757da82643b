// The filters of lists and dicts.
#include <algorithm>
#include <functional>

#include "base/utf8.h"
#include "chat_template/arguments.h"
#include "chat_template/filters.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/sorting.h"
#include "chat_template/text_operations.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

// ---- Attributes of items, as "a.b.0" names them

struct AttributePath {
  std::vector<Value> parts;
  Value fallback;  // for undefined values; missing or None: they stay undefined
  bool fold_case = false;
};

void add_parts(std::string_view path, AttributePath& out) {
  while (true) {
    const size_t dot = path.find('.');
    const std::string_view part = path.substr(0, dot);
    const bool number = !part.empty() && part.size() < 10 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    out.parts.push_back(number ? Value::integer(std::stol(std::string(part)))
                               : Value::string(part, true));
    if (dot == std::string_view::npos) return;
    path = path.substr(dot + 1);
  }
}

AttributePath make_path(const Value& attribute, bool fold_case) {
  AttributePath path;
  path.fold_case = fold_case;
  if (attribute.is(Kind::missing) || attribute.is(Kind::none)) return path;
  if (attribute.is(Kind::string)) {
    add_parts(attribute.as_bytes(), path);
  } else {
    path.parts.push_back(attribute);
  }
  return path;
}

Result<Value> fold(Budget& budget, const Value& value) {
  if (!value.is(Kind::string)) return value;
  return Value::string(LOTSE_TRY(map_case(budget, value.as_string().text, "lower")));
}

Result<Value> follow(Interpreter& interpreter, const AttributePath& path, Value item) {
  for (const Value& part : path.parts) {
    item = LOTSE_TRY(interpreter.get_item(item, part));
    const bool replace = item.is(Kind::undefined) && !path.fallback.is(Kind::missing) &&
                         !path.fallback.is(Kind::none);
    if (replace) item = path.fallback;
  }
  return path.fold_case ? fold(interpreter.budget(), item) : item;
}

// ---- Single values of a sequence

Result<Value> length_filter(Interpreter&, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("length", std::move(arguments), {}));
  switch (input.kind()) {
    case Kind::undefined:
      return Value::integer(0);
    case Kind::string:
      return Value::integer(input.as_string().length);
    case Kind::dict:
      return Value::integer(static_cast<int64_t>(input.as_dict().size()));
    case Kind::list:
      if (input.as_list().flavour == Flavour::iterator) break;
      return Value::integer(static_cast<int64_t>(input.as_list().items.size()));
    default:
      break;
  }
  return fail(ErrorCode::invalid_input, "object of type '{}' has no len()", type_name(input));
}

Result<Value> first_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("first", std::move(arguments), {}));
  if (input.is_list(Flavour::iterator)) {
    const List& list = input.as_list();
    if (list.consumed < list.items.size()) return list.items[list.consumed++];
  } else {
    const std::vector<Value> items = LOTSE_TRY(iterate(interpreter.budget(), input));
    if (!items.empty()) return items.front();
  }
  return Value::undefined("No first item, sequence was empty.");
}

Result<Value> last_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("last", std::move(arguments), {}));
  if (input.is_list(Flavour::iterator)) {
    return fail(ErrorCode::invalid_input, "'generator' object is not reversible");
  }
  const std::vector<Value> items = LOTSE_TRY(iterate(interpreter.budget(), input));
  if (!items.empty()) return items.back();
  return Value::undefined("No last item, sequence was empty.");
}

template <bool maximum>
Result<Value> extreme_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments(maximum ? "max" : "min", std::move(arguments),
                                              {"case_sensitive", "attribute"}));
  const AttributePath path = make_path(bound[1], !boolean_argument(bound[0], false));
  Value best;
  Value best_key;
  for (const Value& item : LOTSE_TRY(iterate(interpreter.budget(), input))) {
    Value key = LOTSE_TRY(follow(interpreter, path, item));
    const int order =
        best.is(Kind::missing) ? 0 : LOTSE_TRY(compare(interpreter.budget(), key, best_key, "<"));
    if (!best.is(Kind::missing) && order != (maximum ? 1 : -1)) continue;
    best = item;
    best_key = std::move(key);
  }
  if (!best.is(Kind::missing)) return best;
  return Value::undefined("No aggregated item, sequence was empty.");
}

Result<Value> sum_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("sum", std::move(arguments), {"attribute", "start"}));
  const AttributePath path = make_path(bound[0], false);
  Value sum = bound[1].is(Kind::missing) ? Value::integer(0) : bound[1];
  if (sum.is(Kind::string)) {
    return fail(ErrorCode::invalid_input, "sum() can't sum strings [use ''.join(seq) instead]");
  }
  for (const Value& item : LOTSE_TRY(iterate(interpreter.budget(), input))) {
    const Value value = LOTSE_TRY(follow(interpreter, path, item));
    sum = LOTSE_TRY(apply_binary(interpreter.budget(), "+", sum, value));
  }
  return sum;
}

Result<Value> join_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("join", std::move(arguments), {"d", "attribute"}));
  Budget& budget = interpreter.budget();
  const AttributePath path = make_path(bound[1], false);
  const Text separator = LOTSE_TRY(to_text(budget, bound[0]));
  std::vector<Text> parts;
  for (const Value& item : LOTSE_TRY(iterate(budget, input))) {
    parts.push_back(LOTSE_TRY(to_text(budget, LOTSE_TRY(follow(interpreter, path, item)))));
  }
  return Value::string(LOTSE_TRY(join(budget, separator, parts)));
}

Result<Value> default_filter(Interpreter&, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("default", std::move(arguments), {"default_value", "boolean"}));
  const bool replace =
      input.is(Kind::undefined) || (boolean_argument(bound[1], false) && !is_true(input));
  if (!replace) return input;
  return bound[0].is(Kind::missing) ? Value::string("", true) : bound[0];
}

Result<Value> attr_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(bind_arguments("attr", std::move(arguments), {"name"}, 1));
  const Value name = LOTSE_TRY(string_argument("attr", bound[0]));
  if (input.is(Kind::dict)) {
    return fail(ErrorCode::unsupported, "the filter attr of a dict");
  }
  return interpreter.get_attribute(input, name.as_bytes());
}

// ---- New sequences

Result<Value> list_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("list", std::move(arguments), {}));
  Budget& budget = interpreter.budget();
  return make_list(budget, LOTSE_TRY(iterate(budget, input)));
}

Result<Value> reverse_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("reverse", std::move(arguments), {}));
  Budget& budget = interpreter.budget();
  if (input.is(Kind::string)) {
    return slice(budget, input, Value(), Value(), Value::integer(-1));
  }
  const Flavour flavour = input.is_list(Flavour::iterator) ? Flavour::list : Flavour::iterator;
  std::vector<Value> items = LOTSE_TRY(iterate(budget, input));
  std::ranges::reverse(items);
  return make_list(budget, std::move(items), flavour);
}

Result<Value> items_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  LOTSE_TRY(bind_arguments("items", std::move(arguments), {}));
  Budget& budget = interpreter.budget();
  std::vector<Value> items;
  if (!input.is(Kind::undefined)) {
    if (!input.is(Kind::dict)) {
      return fail(ErrorCode::invalid_input, "Can only get item pairs from a mapping.");
    }
    for (const auto& [key, value] : input.as_dict().entries()) {
      items.push_back(LOTSE_TRY(make_tuple(budget, key, value)));
    }
  }
  return make_list(budget, std::move(items), Flavour::iterator);
}

// Sorts `items` by `keys`, which belong to them one by one.
Result<std::vector<Value>> sort_by(Budget& budget, const std::vector<Value>& items,
                                   const std::vector<Value>& keys, bool reverse) {
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const size_t i : LOTSE_TRY(sorted_positions(budget, keys, reverse))) {
    sorted.push_back(items[i]);
  }
  return sorted;
}

Result<Value> sort_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(
      bind_arguments("sort", std::move(arguments), {"reverse", "case_sensitive", "attribute"}));
  Budget& budget = interpreter.budget();
  const bool fold_case = !boolean_argument(bound[1], false);
  std::vector<AttributePath> paths;
  if (bound[2].is(Kind::string)) {
    std::string_view names = bound[2].as_bytes();
    for (size_t comma = 0; comma != std::string_view::npos;) {
      comma = names.find(',');
      paths.push_back(make_path(Value::string(names.substr(0, comma), true), fold_case));
      if (comma != std::string_view::npos) names = names.substr(comma + 1);
    }
  } else {
    paths.push_back(make_path(bound[2], fold_case));
  }
  const std::vector<Value> items = LOTSE_TRY(iterate(budget, input));
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const AttributePath& path : paths) {
      key.push_back(LOTSE_TRY(follow(interpreter, path, item)));
    }
    keys.push_back(LOTSE_TRY(make_list(budget, std::move(key))));
  }
  return make_list(budget,
                   LOTSE_TRY(sort_by(budget, items, keys, boolean_argument(bound[0], false))));
}

Result<Value> dictsort_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound = LOTSE_TRY(
      bind_arguments("dictsort", std::move(arguments), {"case_sensitive", "by", "reverse"}));
  Budget& budget = interpreter.budget();
  LOTSE_TRY(require_defined(input));
  if (!input.is(Kind::dict)) {
    return fail(ErrorCode::invalid_input, "dictsort: '{}' object has no items", type_name(input));
  }
  const std::string by = bound[1].is(Kind::missing)
                             ? "key"
                             : LOTSE_TRY(string_argument("dictsort", bound[1])).as_bytes();
  if (by != "key" && by != "value") {
    return fail(ErrorCode::invalid_input, "You can only sort by either \"key\" or \"value\"");
  }
  const bool fold_case = !boolean_argument(bound[0], false);
  std::vector<Value> pairs;
  std::vector<Value> keys;
  for (const auto& [key, value] : input.as_dict().entries()) {
    pairs.push_back(LOTSE_TRY(make_tuple(budget, key, value)));
    const Value& sorted_by = by == "key" ? key : value;
    keys.push_back(fold_case ? LOTSE_TRY(fold(budget, sorted_by)) : sorted_by);
  }
  return make_list(budget,
                   LOTSE_TRY(sort_by(budget, pairs, keys, boolean_argument(bound[2], false))));
}

Result<Value> unique_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("unique", std::move(arguments), {"case_sensitive", "attribute"}));
  Budget& budget = interpreter.budget();
  const AttributePath path = make_path(bound[1], !boolean_argument(bound[0], false));
  Dict seen;
  std::vector<Value> unique;
  for (const Value& item : LOTSE_TRY(iterate(budget, input))) {
    const Value key = LOTSE_TRY(follow(interpreter, path, item));
    if (LOTSE_TRY(seen.find(budget, key)) != nullptr) continue;
    LOTSE_TRY(seen.set(budget, key, Value::none()));
    unique.push_back(item);
  }
  return make_list(budget, std::move(unique), Flavour::iterator);
}

Result<Value> batch_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("batch", std::move(arguments), {"linecount", "fill_with"}, 1));
  Budget& budget = interpreter.budget();
  const int64_t size = LOTSE_TRY(integer_argument("batch", bound[0], 0));
  const bool fill = !bound[1].is(Kind::missing) && !bound[1].is(Kind::none);
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (const Value& item : LOTSE_TRY(iterate(budget, input))) {
    if (static_cast<int64_t>(batch.size()) == size) {
      batches.push_back(LOTSE_TRY(make_list(budget, std::exchange(batch, {}))));
    }
    batch.push_back(item);
  }
  if (!batch.empty()) {
    const int64_t missing = size - static_cast<int64_t>(batch.size());
    if (fill && missing > 0) {
      LOTSE_TRY(budget.grow(missing > INT64_MAX / 32 ? INT64_MAX : missing * 32));
      batch.insert(batch.end(), static_cast<size_t>(missing), bound[1]);
    }
    batches.push_back(LOTSE_TRY(make_list(budget, std::move(batch))));
  }
  return make_list(budget, std::move(batches), Flavour::iterator);
}

Result<Value> slice_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  const auto bound =
      LOTSE_TRY(bind_arguments("slice", std::move(arguments), {"slices", "fill_with"}, 1));
  Budget& budget = interpreter.budget();
  const int64_t count = LOTSE_TRY(integer_argument("slice", bound[0], 0));
  if (count == 0) return fail(ErrorCode::invalid_input, "division by zero");
  const std::vector<Value> items = LOTSE_TRY(iterate(budget, input));
  const auto length = static_cast<int64_t>(items.size());
  const bool fill = !bound[1].is(Kind::missing) && !bound[1].is(Kind::none);
  std::vector<Value> slices;
  auto next = items.begin();
  for (int64_t i = 0; i < count; ++i) {
    LOTSE_TRY(budget.grow(256));
    const bool extra = i < length % count;
    const auto end = next + length / count + (extra ? 1 : 0);
    std::vector<Value> part(next, end);
    if (fill && !extra) part.push_back(bound[1]);
    slices.push_back(LOTSE_TRY(make_list(budget, std::move(part))));
    next = end;
  }
  return make_list(budget, std::move(slices), Flavour::iterator);
}

// ---- Filters and tests over all items

Result<Value> take_first(std::string_view filter, Arguments& arguments, const char* what) {
  if (arguments.positional.empty()) {
    return fail(ErrorCode::invalid_input, "{} requires {}", filter, what);
  }
  Value first = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

Result<Value> map_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  Budget& budget = interpreter.budget();
  std::vector<Value> mapped;
  if (!is_true(input)) return make_list(budget, std::move(mapped), Flavour::iterator);
  AttributePath path;
  Value filter;
  const Value attribute = arguments.positional.empty() ? arguments.take("attribute") : Value();
  if (!attribute.is(Kind::missing)) {
    path = make_path(attribute, false);
    path.fallback = arguments.take("default");
    LOTSE_TRY(bind_arguments("map", arguments, {}));
  } else {
    filter = LOTSE_TRY(
        string_argument("map", LOTSE_TRY(take_first("map", arguments, "a filter argument"))));
  }
  for (const Value& item : LOTSE_TRY(iterate(budget, input))) {
    mapped.push_back(filter.is(Kind::missing)
                         ? LOTSE_TRY(follow(interpreter, path, item))
                         : LOTSE_TRY(interpreter.apply_filter(filter.as_bytes(), item, arguments)));
  }
  return make_list(budget, std::move(mapped), Flavour::iterator);
}

template <bool keep, bool by_attribute>
Result<Value> select_filter(Interpreter& interpreter, Value input, Arguments arguments) {
  Budget& budget = interpreter.budget();
  std::vector<Value> selected;
  if (!is_true(input)) return make_list(budget, std::move(selected), Flavour::iterator);
  AttributePath path;
  if (by_attribute) {
    path = make_path(LOTSE_TRY(take_first("selectattr", arguments, "an attribute name")), false);
  }
  Value test;
  if (!arguments.positional.empty()) {
    test =
        LOTSE_TRY(string_argument("select", LOTSE_TRY(take_first("select", arguments, "a test"))));
  }
  for (const Value& item : LOTSE_TRY(iterate(budget, input))) {
    const Value value = LOTSE_TRY(follow(interpreter, path, item));
    const bool passed = test.is(Kind::missing)
                            ? is_true(value)
                            : LOTSE_TRY(interpreter.apply_test(test.as_bytes(), value, arguments));
    if (passed == keep) selected.push_back(item);
  }
  return make_list(budget, std::move(selected), Flavour::iterator);
}

constexpr FilterRow kSequenceFilters[] = {
    {"attr", attr_filter},
    {"batch", batch_filter},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort_filter},
    {"first", first_filter},
    {"items", items_filter},
    {"join", join_filter},
    {"last", last_filter},
    {"length", length_filter},
    {"list", list_filter},
    {"map", map_filter},
    {"max", extreme_filter<true>},
    {"min", extreme_filter<false>},
    {"reject", select_filter<false, false>},
    {"rejectattr", select_filter<false, true>},
    {"reverse", reverse_filter},
    {"select", select_filter<true, false>},
    {"selectattr", select_filter<true, true>},
    {"slice", slice_filter},
    {"sort", sort_filter},
    {"sum", sum_filter},
    {"unique", unique_filter},
};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  const auto* row = std::ranges::find(kSequenceFilters, name, &FilterRow::name);
  return row == std::end(kSequenceFilters) ? nullptr : row->filter;
}

}  // namespace lotse::jinja
