#include "chat_template/value.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/utf8.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {

Value Value::none() { return Value(Data(None{})); }
Value Value::boolean(bool value) { return Value(Data(value)); }
Value Value::integer(int64_t value) { return Value(Data(value)); }
Value Value::floating(double value) { return Value(Data(value)); }
Value Value::function(Function function) { return Value(Data(function)); }
Value Value::macro(Macro macro) { return Value(Data(macro)); }
Value Value::loop(std::shared_ptr<LoopState> loop) { return Value(Data(std::move(loop))); }

Value Value::string(Text text, bool markup) {
  const int64_t length = count_characters(text.bytes());
  return Value(Data(std::make_shared<const String>(String{std::move(text), markup, length})));
}

Value Value::undefined(std::string message) {
  return Value(Data(std::make_shared<const Undefined>(Undefined{std::move(message)})));
}

Value Value::method(Value self, std::string_view name) {
  const int depth = self.depth() + 1;
  auto kept = std::make_shared<const Value>(std::move(self));
  return Value(
      Data(std::make_shared<const Method>(Method{std::move(kept), std::string(name), depth})));
}

Value Value::name_space(std::shared_ptr<Namespace> attributes) {
  return Value(Data(std::move(attributes)));
}

int64_t Value::as_integer() const {
  return is(Kind::boolean) ? int64_t{as_boolean()} : std::get<int64_t>(data_);
}

double Value::as_number() const {
  return is(Kind::floating) ? as_floating() : static_cast<double>(as_integer());
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  if (is(Kind::macro)) {
    return as_macro().definition == other.as_macro().definition &&
           as_macro().closure == other.as_macro().closure;
  }
  const auto same = [](const auto& a, const auto& b) -> bool {
    if constexpr (std::is_same_v<decltype(a), decltype(b)>) {
      if constexpr (!std::is_same_v<decltype(a), const Macro&>) return a == b;
    }
    return false;
  };
  return std::visit(same, data_, other.data_);
}

int Value::depth() const {
  switch (kind()) {
    case Kind::list:
      return as_list().depth;
    case Kind::dict:
      return as_dict().depth();
    case Kind::method:
      return as_method().depth;
    case Kind::loop:
      return as_loop().depth;
    default:
      return 0;
  }
}

Result<Value> make_list(Budget& budget, std::vector<Value> items, Flavour flavour) {
  LOTSE_TRY(budget.grow_items(items.size()));
  List list{flavour, std::move(items)};
  for (const Value& item : list.items) list.depth = std::max(list.depth, item.depth() + 1);
  if (list.depth > kMaxValueDepth) {
    return fail(ErrorCode::limit, "nests values deeper than {} levels", kMaxValueDepth);
  }
  return Value(Value::Data(std::make_shared<const List>(std::move(list))));
}

Result<Value> make_tuple(Budget& budget, Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return make_list(budget, std::move(items), Flavour::tuple);
}

Value wrap_dict(std::shared_ptr<const Dict> dict) { return Value(Value::Data(std::move(dict))); }

std::string type_name(const Value& value) {
  static constexpr const char* kFlavours[] = {"list",        "tuple",      "range",    "dict_keys",
                                              "dict_values", "dict_items", "generator"};
  switch (value.kind()) {
    case Kind::missing:
      return "nothing";
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::floating:
      return "float";
    case Kind::string:
      return value.as_string().markup ? "Markup" : "str";
    case Kind::list:
      return kFlavours[static_cast<int>(value.as_list().flavour)];
    case Kind::dict:
      return "dict";
    case Kind::name_space:
      return "Namespace";
    case Kind::macro:
      return "Macro";
    case Kind::method:
      return "builtin_function_or_method";
    case Kind::function:
      return "function";
    case Kind::loop:
      return "LoopContext";
  }
  return "";
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_integer() != 0;
    case Kind::floating:
      return value.as_floating() != 0;
    case Kind::string:
      return !value.as_string().text.empty();
    case Kind::list:
      return value.as_list().flavour == Flavour::iterator || !value.as_list().items.empty();
    case Kind::dict:
      return value.as_dict().size() != 0;
    default:
      return true;
  }
}

namespace {

bool is_dict_view(const Value& value) {
  return value.is_list(Flavour::dict_keys) || value.is_list(Flavour::dict_items);
}

// Compares an integer with a double exactly; 2 for a NaN.
int compare_exactly(int64_t a, double b) {
  if (std::isnan(b)) return 2;
  if (b >= 0x1p63) return -1;
  if (b < -0x1p63) return 1;
  const double whole = std::trunc(b);
  const auto integral = static_cast<int64_t>(whole);
  if (a != integral) return a < integral ? -1 : 1;
  return whole < b ? -1 : (whole > b ? 1 : 0);
}

int compare_numbers(const Value& a, const Value& b) {
  const bool a_real = a.is(Kind::floating);
  const bool b_real = b.is(Kind::floating);
  if (!a_real && !b_real) {
    return a.as_integer() < b.as_integer() ? -1 : (a.as_integer() > b.as_integer() ? 1 : 0);
  }
  if (!a_real) return compare_exactly(a.as_integer(), b.as_floating());
  if (!b_real) {
    const int reversed = compare_exactly(b.as_integer(), a.as_floating());
    return reversed == 2 ? 2 : -reversed;
  }
  const double x = a.as_floating();
  const double y = b.as_floating();
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : (x > y ? 1 : 0);
}

Result<bool> lists_equal(Budget& budget, const List& a, const List& b) {
  if (a.flavour != b.flavour || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!LOTSE_TRY(equals(budget, a.items[i], b.items[i]))) return false;
  }
  return true;
}

Result<bool> dicts_equal(Budget& budget, const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = LOTSE_TRY(b.find(budget, key));
    if (other == nullptr || !LOTSE_TRY(equals(budget, value, *other))) return false;
  }
  return true;
}

}  // namespace

Result<bool> equals(Budget& budget, const Value& a, const Value& b) {
  LOTSE_TRY(budget.step());
  if (a.is_number() && b.is_number()) {
    const bool same_float = a.is(Kind::floating) && a.same_as(b);
    return same_float || compare_numbers(a, b) == 0;
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
      return true;
    case Kind::string:
      LOTSE_TRY(budget.scan(a.as_bytes().size()));
      return a.as_bytes() == b.as_bytes();
    case Kind::list:
      if (a.same_as(b)) return true;
      if (a.as_list().flavour >= Flavour::dict_keys && !is_dict_view(a)) return false;
      if (is_dict_view(a)) return fail(ErrorCode::unsupported, "comparing dict views");
      return lists_equal(budget, a.as_list(), b.as_list());
    case Kind::dict:
      return a.same_as(b) || LOTSE_TRY(dicts_equal(budget, a.as_dict(), b.as_dict()));
    case Kind::method:
      return a.as_method().name == b.as_method().name &&
             a.as_method().self->same_as(*b.as_method().self);
    default:
      return a.same_as(b);
  }
}

Result<int> compare(Budget& budget, const Value& a, const Value& b, const char* operation) {
  LOTSE_TRY(budget.step());
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is(Kind::string) && b.is(Kind::string)) {
    LOTSE_TRY(budget.scan(std::min(a.as_bytes().size(), b.as_bytes().size())));
    const int order = a.as_bytes().compare(b.as_bytes());
    return order < 0 ? -1 : (order > 0 ? 1 : 0);
  }
  for (const Value* side : {&a, &b}) {
    if (side->is(Kind::undefined)) {
      return fail(ErrorCode::invalid_input, "{}", side->as_undefined().message);
    }
  }
  const bool sequences = a.is(Kind::list) && b.is(Kind::list) &&
                         a.as_list().flavour == b.as_list().flavour &&
                         a.as_list().flavour <= Flavour::tuple;
  if (!sequences) {
    return fail(ErrorCode::invalid_input, "'{}' not supported between '{}' and '{}'", operation,
                type_name(a), type_name(b));
  }
  const std::vector<Value>& left = a.as_list().items;
  const std::vector<Value>& right = b.as_list().items;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (!LOTSE_TRY(equals(budget, left[i], right[i]))) {
      return compare(budget, left[i], right[i], operation);
    }
  }
  return left.size() < right.size() ? -1 : (left.size() > right.size() ? 1 : 0);
}

namespace {

// Random, so that nobody can prepare keys that collide.
uint64_t hash_seed() {
  static const uint64_t seed = std::random_device{}();
  return seed;
}

uint64_t hash_bytes(std::string_view bytes) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), hash_seed());
}

uint64_t hash_integer(int64_t value) { return XXH3_64bits_withSeed(&value, 8, hash_seed()); }

uint64_t hash_float(double value) {
  if (value >= -0x1p63 && value < 0x1p63 && std::trunc(value) == value) {
    return hash_integer(static_cast<int64_t>(value));
  }
  return XXH3_64bits_withSeed(&value, 8, hash_seed());
}

}  // namespace

Result<uint64_t> hash_value(Budget& budget, const Value& value) {
  LOTSE_TRY(budget.step());
  switch (value.kind()) {
    case Kind::boolean:
    case Kind::integer:
      return hash_integer(value.as_integer());
    case Kind::floating:
      return hash_float(value.as_floating());
    case Kind::string:
      LOTSE_TRY(budget.scan(value.as_bytes().size()));
      return hash_bytes(value.as_bytes());
    case Kind::none:
    case Kind::undefined:
      return static_cast<uint64_t>(value.kind());
    case Kind::list: {
      if (value.as_list().flavour != Flavour::tuple) break;
      uint64_t hash = 1;
      for (const Value& item : value.as_list().items) {
        const uint64_t pair[2] = {hash, LOTSE_TRY(hash_value(budget, item))};
        hash = XXH3_64bits_withSeed(pair, sizeof pair, hash_seed());
      }
      return hash;
    }
    default:
      break;
  }
  return fail(ErrorCode::invalid_input, "unhashable type: '{}'", type_name(value));
}

Result<std::vector<Dict::Entry>::const_iterator> Dict::locate(Budget& budget, uint64_t hash,
                                                              const Value& key) const {
  const auto [first, last] = positions_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const auto entry = entries_.begin() + it->second;
    if (LOTSE_TRY(equals(budget, entry->first, key))) return entry;
  }
  return entries_.end();
}

Result<const Value*> Dict::find(Budget& budget, const Value& key) const {
  const uint64_t hash = LOTSE_TRY(hash_value(budget, key));
  const auto entry = LOTSE_TRY(locate(budget, hash, key));
  return entry == entries_.end() ? nullptr : &entry->second;
}

const Value* Dict::find(std::string_view key) const {
  const auto [first, last] = positions_.equal_range(hash_bytes(key));
  for (auto it = first; it != last; ++it) {
    const Entry& entry = entries_[it->second];
    if (entry.first.is(Kind::string) && entry.first.as_bytes() == key) return &entry.second;
  }
  return nullptr;
}

Result<void> Dict::set(Budget& budget, const Value& key, Value value) {
  const uint64_t hash = LOTSE_TRY(hash_value(budget, key));
  const int depth = std::max(key.depth(), value.depth()) + 1;
  if (depth > kMaxValueDepth) {
    return fail(ErrorCode::limit, "nests values deeper than {} levels", kMaxValueDepth);
  }
  depth_ = std::max(depth_, depth);
  const auto entry = LOTSE_TRY(locate(budget, hash, key));
  if (entry != entries_.end()) {
    entries_[static_cast<size_t>(entry - entries_.begin())].second = std::move(value);
    return {};
  }
  LOTSE_TRY(budget.grow(128));
  positions_.emplace(hash, static_cast<uint32_t>(entries_.size()));
  entries_.emplace_back(key, std::move(value));
  return {};
}

namespace {

constexpr int64_t kStringBytes = 192;  // of a string's bookkeeping

}  // namespace

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::dict:
    case Kind::loop:
      return true;
    default:
      return false;
  }
}

Result<std::vector<Value>> iterate(Budget& budget, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::undefined:
      return items;
    case Kind::list: {
      const List& list = value.as_list();
      const size_t begin = list.flavour == Flavour::iterator ? list.consumed : 0;
      LOTSE_TRY(budget.grow_items(list.items.size() - begin));
      items.assign(list.items.begin() + static_cast<std::ptrdiff_t>(begin), list.items.end());
      if (list.flavour == Flavour::iterator) list.consumed = list.items.size();
      return items;
    }
    case Kind::dict:
      LOTSE_TRY(budget.grow_items(value.as_dict().size()));
      for (const auto& [key, unused] : value.as_dict().entries()) items.push_back(key);
      return items;
    case Kind::string: {
      const Text& text = value.as_string().text;
      for (size_t i = 0; i < text.size();) {
        LOTSE_TRY(budget.grow(kStringBytes));
        const auto length = static_cast<size_t>(decode_utf8(text.bytes(), i).length);
        items.push_back(Value::string(text.slice(i, i + length)));
        i += length;
      }
      return items;
    }
    case Kind::loop:
      return fail(ErrorCode::unsupported, "iterating over 'loop'");
    default:
      return fail(ErrorCode::invalid_input, "'{}' object is not iterable", type_name(value));
  }
}

}  // namespace lotse::jinja
