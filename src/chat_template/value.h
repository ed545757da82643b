// The values that a template computes with, as Python has them. Strings, lists and dicts are
// immutable once made (the sandbox forbids to change them), so copies share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "chat_template/budget.h"
#include "chat_template/text.h"

namespace lotse::jinja {

class Value;
struct Frame;
struct LoopState;
struct MacroStmt;
class Dict;

// Containers and methods may hold each other this deep, so that walking and freeing them is safe.
inline constexpr int kMaxValueDepth = 100;

enum class Kind {
  missing,  // no value: an argument that was not given, a variable that was not set
  undefined,
  none,
  boolean,
  integer,
  floating,
  string,
  list,
  dict,
  name_space,
  macro,
  method,
  function,
  loop,
};

struct Undefined {
  std::string message;  // of the error when more is asked of it than to print or test it
};

struct String {
  Text text;
  bool markup;     // escaped for HTML already: markupsafe's Markup
  int64_t length;  // in characters

  const std::string& bytes() const { return text.bytes(); }
  bool ascii() const { return length == static_cast<int64_t>(text.size()); }
};

// The iterable types that differ only in how they print and what they permit.
enum class Flavour { list, tuple, range, dict_keys, dict_values, dict_items, iterator };

struct List {
  Flavour flavour;
  std::vector<Value> items;
  int depth = 1;
  // An iterator (what map, select, … give) can be walked once; how far it has been.
  mutable size_t consumed = 0;
};

struct Namespace {
  std::shared_ptr<const Dict> attributes;
};

struct Macro {
  const MacroStmt* definition;
  Frame* closure;  // lives as long as the interpreter
};

struct Method {
  std::shared_ptr<const Value> self;
  std::string name;
  int depth;
};

enum class Function {
  range,
  dict,
  name_space,
  raise_exception,
  strftime_now,
  generation,  // calls its caller: what the `generation` tag stands for
};

class Value {
 public:
  Value() = default;  // missing

  static Value none();
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value floating(double value);
  static Value string(Text text, bool markup = false);
  static Value string(std::string_view bytes, bool trusted) { return string(Text(bytes, trusted)); }
  static Value undefined(std::string message);
  static Value function(Function function);
  static Value method(Value self, std::string_view name);
  static Value name_space(std::shared_ptr<Namespace> attributes);
  static Value macro(Macro macro);
  static Value loop(std::shared_ptr<LoopState> loop);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind_asked) const { return kind() == kind_asked; }
  bool is_number() const { return is(Kind::boolean) || is(Kind::integer) || is(Kind::floating); }
  bool is_list(Flavour flavour) const { return is(Kind::list) && as_list().flavour == flavour; }

  // Each is valid for its own kind only.
  bool as_boolean() const { return std::get<bool>(data_); }
  double as_floating() const { return std::get<double>(data_); }
  const String& as_string() const { return *std::get<std::shared_ptr<const String>>(data_); }
  const std::string& as_bytes() const { return as_string().bytes(); }
  const Undefined& as_undefined() const {
    return *std::get<std::shared_ptr<const Undefined>>(data_);
  }
  const List& as_list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  const Macro& as_macro() const { return std::get<Macro>(data_); }
  const Method& as_method() const { return *std::get<std::shared_ptr<const Method>>(data_); }
  Function as_function() const { return std::get<Function>(data_); }
  LoopState& as_loop() const { return *std::get<std::shared_ptr<LoopState>>(data_); }
  // The integer of an integer or a boolean, the number of any of the three numeric kinds.
  int64_t as_integer() const;
  double as_number() const;

  // Python's `is`: the same object.
  bool same_as(const Value& other) const;
  // Levels of containers below and with this one.
  int depth() const;

 private:
  friend Result<Value> make_list(Budget& budget, std::vector<Value> items, Flavour flavour);
  friend Value wrap_dict(std::shared_ptr<const Dict> dict);

  struct None {
    bool operator==(const None&) const = default;
  };
  using Data = std::variant<std::monostate, std::shared_ptr<const Undefined>, None, bool, int64_t,
                            double, std::shared_ptr<const String>, std::shared_ptr<const List>,
                            std::shared_ptr<const Dict>, std::shared_ptr<Namespace>, Macro,
                            std::shared_ptr<const Method>, Function, std::shared_ptr<LoopState>>;
  explicit Value(Data data) : data_(std::move(data)) {}

  Data data_;
};

// Keys in order of insertion, as Python's dict; found by hash.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  // Null when absent. `key` must be hashable, else an error.
  Result<const Value*> find(Budget& budget, const Value& key) const;
  const Value* find(std::string_view key) const;
  // Inserts, or replaces the value of an equal key; an error for an unhashable key.
  Result<void> set(Budget& budget, const Value& key, Value value);
  int depth() const { return depth_; }

 private:
  Result<std::vector<Entry>::const_iterator> locate(Budget& budget, uint64_t hash,
                                                    const Value& key) const;

  std::vector<Entry> entries_;
  std::unordered_multimap<uint64_t, uint32_t> positions_;
  int depth_ = 1;
};

// One walk of a for loop, as the variable `loop` shows it. With a filter the items are found one by
// one, for the filter may look at what the loop's body changes.
struct LoopState {
  std::vector<Value> items;                 // found so far
  size_t index = 0;                         // of the current item
  std::function<Result<bool>()> find_next;  // adds one item, false at the end; empty when complete
  Value last_changed;
  int depth = 1;
  bool ended = false;
};

// Errors: limit for nesting deeper than kMaxValueDepth, or the budget.
Result<Value> make_list(Budget& budget, std::vector<Value> items, Flavour flavour = Flavour::list);
Result<Value> make_tuple(Budget& budget, Value first, Value second);
Value wrap_dict(std::shared_ptr<const Dict> dict);

// The name of a value's type, as Python's error messages have it: "list", "str", …
std::string type_name(const Value& value);

bool is_true(const Value& value);

// Python's ==. Costs budget, for shared structure can be far larger than memory.
Result<bool> equals(Budget& budget, const Value& a, const Value& b);

// Python's < and kin: negative, zero or positive, 2 for an unordered pair (a NaN). Errors: types
// that have no order.
Result<int> compare(Budget& budget, const Value& a, const Value& b, const char* operation);

// Equal values have equal hashes. Errors: lists, dicts.
Result<uint64_t> hash_value(Budget& budget, const Value& value);

// What a for loop, list(), join, … walk over: the items of lists, keys of dicts, characters of
// strings, nothing for an undefined value. Walking an iterator uses it up. Errors: not iterable.
Result<std::vector<Value>> iterate(Budget& budget, const Value& value);
bool is_iterable(const Value& value);

}  // namespace lotse::jinja
