#include "checkpoint/pickle.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "checkpoint/byte_reader.h"
#include "checkpoint/tensor_table.h"

namespace lotse {
namespace {

// A checkpoint of 100,000 tensors takes about 2 million values.
constexpr size_t kMaxValues = 4'000'000;
constexpr size_t kMaxRank = 64;

enum class Op : uint8_t {
  mark = '(',
  stop = '.',
  pop = '0',
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  none = 'N',
  binpersid = 'Q',
  reduce = 'R',
  binstring = 'T',
  short_binstring = 'U',
  binunicode = 'X',
  append = 'a',
  build = 'b',
  global = 'c',
  appends = 'e',
  binget = 'h',
  long_binget = 'j',
  binput = 'q',
  long_binput = 'r',
  setitem = 's',
  tuple = 't',
  setitems = 'u',
  empty_list = ']',
  empty_dict = '}',
  empty_tuple = ')',
  binfloat = 'G',
  proto = 0x80,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  newtrue = 0x88,
  newfalse = 0x89,
  long1 = 0x8a,
  short_binunicode = 0x8c,
  stack_global = 0x93,
  memoize = 0x94,
  frame = 0x95,
};

enum class Kind : uint8_t {
  mark,
  none,
  boolean,
  integer,
  number,
  string,
  tuple,
  list,
  dict,          // items alternate keys and values
  storage_type,  // integer: the DType
  make_dict,     // collections.OrderedDict
  make_tensor,
  make_parameter,
  storage,  // text: its key; items: type, element count
  tensor,   // integer: its index
};

struct Global {
  std::string_view module;
  std::string_view name;
  Kind kind;
  DType dtype = DType::f32;
};
constexpr Global kAllowed[] = {
    {"collections", "OrderedDict", Kind::make_dict},
    {"torch._utils", "_rebuild_tensor_v2", Kind::make_tensor},
    {"torch._utils", "_rebuild_parameter", Kind::make_parameter},
    {"torch", "DoubleStorage", Kind::storage_type, DType::f64},
    {"torch", "FloatStorage", Kind::storage_type, DType::f32},
    {"torch", "HalfStorage", Kind::storage_type, DType::f16},
    {"torch", "BFloat16Storage", Kind::storage_type, DType::bf16},
    {"torch", "LongStorage", Kind::storage_type, DType::i64},
    {"torch", "IntStorage", Kind::storage_type, DType::i32},
    {"torch", "ShortStorage", Kind::storage_type, DType::i16},
    {"torch", "CharStorage", Kind::storage_type, DType::i8},
    {"torch", "ByteStorage", Kind::storage_type, DType::u8},
    {"torch", "BoolStorage", Kind::storage_type, DType::boolean},
};

// Values live in one arena and refer to each other by index, so that neither sharing nor depth
// costs anything to destroy.
using Ref = uint32_t;
struct Value {
  Kind kind = Kind::none;
  int64_t integer = 0;
  std::string_view text;
  std::vector<Ref> items;
};

class Machine {
 public:
  Machine(std::string_view pickle, std::string_view origin)
      : in_(std::as_bytes(std::span(pickle.data(), pickle.size()))),
        text_(pickle),
        origin_(origin) {}

  Result<std::vector<PickledTensor>> run() {
    bool stopped = false;
    while (!stopped) {
      if (values_.size() > kMaxValues) {
        return fail(ErrorCode::limit, "{}: pickle holds more than {} values", origin_, kMaxValues);
      }
      const uint8_t op = LOTSE_TRY(take<uint8_t>());
      LOTSE_TRY(step(static_cast<Op>(op), stopped));
    }
    return collect();
  }

 private:
  template <class... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}: pickle, byte {}: {}", origin_, in_.position(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  template <class T>
  Result<T> take() {
    const std::optional<T> value = in_.take<T>();
    if (!value) return bad("it is truncated");
    return *value;
  }

  // A length of type T, then as many bytes.
  template <class T>
  Result<std::string_view> take_text() {
    const T length = LOTSE_TRY(take<T>());
    const auto text = in_.take_text(length);
    if (!text) return bad("a string of {} bytes exceeds it", length);
    return *text;
  }

  Result<std::string_view> take_line() {
    const size_t start = in_.position();
    while (LOTSE_TRY(take<char>()) != '\n') {
    }
    const size_t length = in_.position() - start - 1;
    return text_.substr(start, length);
  }

  Ref make(Value value) {
    values_.push_back(std::move(value));
    return static_cast<Ref>(values_.size() - 1);
  }

  Result<void> push(Value value) {
    stack_.push_back(make(std::move(value)));
    return {};
  }

  Result<void> push_integer(int64_t integer) {
    return push({.kind = Kind::integer, .integer = integer, .text = {}, .items = {}});
  }

  Result<void> push_text(std::string_view text) {
    return push({.kind = Kind::string, .integer = 0, .text = text, .items = {}});
  }

  Result<void> push_items(Kind kind, std::vector<Ref> items) {
    return push({.kind = kind, .integer = 0, .text = {}, .items = std::move(items)});
  }

  Result<Ref> pop() {
    if (stack_.empty()) return bad("the stack is empty");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }

  // The values above the topmost mark, which is removed with them.
  Result<std::vector<Ref>> pop_to_mark() {
    const auto mark = std::find_if(stack_.rbegin(), stack_.rend(),
                                   [&](Ref ref) { return values_[ref].kind == Kind::mark; });
    if (mark == stack_.rend()) return bad("no mark on the stack");
    const auto first = mark.base();
    std::vector<Ref> items(first, stack_.end());
    stack_.erase(first - 1, stack_.end());
    return items;
  }

  Result<std::vector<Ref>> pop_count(size_t count) {
    if (stack_.size() < count) return bad("the stack is empty");
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<Ref> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }

  Result<void> step(Op op, bool& stopped) {
    switch (op) {
      case Op::stop:
        stopped = true;
        return {};
      case Op::proto:
        return check_protocol(LOTSE_TRY(take<uint8_t>()));
      case Op::frame:
        return discard(take<uint64_t>());
      case Op::mark:
        return push_items(Kind::mark, {});
      case Op::pop:
        return discard(pop());
      case Op::none:
        return push_items(Kind::none, {});
      case Op::newtrue:
      case Op::newfalse:
        return push({.kind = Kind::boolean, .integer = op == Op::newtrue, .text = {}, .items = {}});
      case Op::binint:
        return push_integer(LOTSE_TRY(take<int32_t>()));
      case Op::binint1:
        return push_integer(LOTSE_TRY(take<uint8_t>()));
      case Op::binint2:
        return push_integer(LOTSE_TRY(take<uint16_t>()));
      case Op::long1:
        return push_long();
      case Op::binfloat:
        LOTSE_TRY(take<uint64_t>());
        return push_items(Kind::number, {});
      case Op::binunicode:
      case Op::binstring:
        return push_text(LOTSE_TRY(take_text<uint32_t>()));
      case Op::short_binunicode:
      case Op::short_binstring:
        return push_text(LOTSE_TRY(take_text<uint8_t>()));
      case Op::empty_list:
        return push_items(Kind::list, {});
      case Op::empty_dict:
        return push_items(Kind::dict, {});
      case Op::empty_tuple:
        return push_items(Kind::tuple, {});
      case Op::tuple:
        return push_items(Kind::tuple, LOTSE_TRY(pop_to_mark()));
      case Op::tuple1:
        return push_items(Kind::tuple, LOTSE_TRY(pop_count(1)));
      case Op::tuple2:
        return push_items(Kind::tuple, LOTSE_TRY(pop_count(2)));
      case Op::tuple3:
        return push_items(Kind::tuple, LOTSE_TRY(pop_count(3)));
      case Op::append:
        return extend(Kind::list, LOTSE_TRY(pop_count(1)));
      case Op::appends:
        return extend(Kind::list, LOTSE_TRY(pop_to_mark()));
      case Op::setitem:
        return extend(Kind::dict, LOTSE_TRY(pop_count(2)));
      case Op::setitems:
        return extend(Kind::dict, LOTSE_TRY(pop_to_mark()));
      case Op::binput:
        return remember(LOTSE_TRY(take<uint8_t>()));
      case Op::long_binput:
        return remember(LOTSE_TRY(take<uint32_t>()));
      case Op::memoize:
        return remember(static_cast<uint32_t>(memo_.size()));
      case Op::binget:
        return recall(LOTSE_TRY(take<uint8_t>()));
      case Op::long_binget:
        return recall(LOTSE_TRY(take<uint32_t>()));
      case Op::global:
        return push_global_lines();
      case Op::stack_global:
        return push_stack_global();
      case Op::binpersid:
        return load_storage(LOTSE_TRY(pop()));
      case Op::reduce:
        return reduce();
      case Op::build:
        return build();
    }
    return bad(
        "opcode 0x{:02x} is not needed for weights: refused; convert the checkpoint to "
        "safetensors",
        static_cast<unsigned>(op));
  }

  template <class T>
  static Result<void> discard(const Result<T>& result) {
    if (!result) return std::unexpected(result.error());
    return {};
  }

  Result<void> check_protocol(uint8_t protocol) const {
    if (protocol >= 2 && protocol <= 5) return {};
    return bad("protocol {}, expected 2 to 5", protocol);
  }

  // A little-endian two's complement integer of up to 8 bytes.
  Result<void> push_long() {
    const std::string_view raw = LOTSE_TRY(take_text<uint8_t>());
    if (raw.size() > 8) return bad("an integer of {} bytes, at most 8", raw.size());
    uint64_t bits =
        !raw.empty() && (static_cast<uint8_t>(raw.back()) & 0x80u) != 0 ? ~uint64_t{0} : 0;
    for (size_t i = raw.size(); i-- > 0;) bits = bits << 8 | static_cast<uint8_t>(raw[i]);
    return push_integer(static_cast<int64_t>(bits));
  }

  Result<void> extend(Kind kind, const std::vector<Ref>& items) {
    if (stack_.empty() || values_[stack_.back()].kind != kind) {
      return bad("expected a {} to extend", kind == Kind::list ? "list" : "dict");
    }
    if (kind == Kind::dict && items.size() % 2 != 0) return bad("a dict key has no value");
    std::vector<Ref>& target = values_[stack_.back()].items;
    target.insert(target.end(), items.begin(), items.end());
    return {};
  }

  Result<void> remember(uint32_t slot) {
    if (stack_.empty()) return bad("the stack is empty");
    memo_[slot] = stack_.back();
    return {};
  }

  Result<void> recall(uint32_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) return bad("memo {} is empty", slot);
    if (stack_.size() >= kMaxValues) {
      return fail(ErrorCode::limit, "{}: pickle's stack exceeds {} values", origin_, kMaxValues);
    }
    stack_.push_back(found->second);
    return {};
  }

  Result<void> push_global(std::string_view module, std::string_view name) {
    for (const Global& global : kAllowed) {
      if (global.module != module || global.name != name) continue;
      return push({.kind = global.kind,
                   .integer = static_cast<int64_t>(global.dtype),
                   .text = {},
                   .items = {}});
    }
    return fail(ErrorCode::invalid_input,
                "{}: pickle wants {}.{}: refused; convert the checkpoint to safetensors", origin_,
                printable(module), printable(name));
  }

  Result<void> push_global_lines() {
    const std::string_view module = LOTSE_TRY(take_line());
    const std::string_view name = LOTSE_TRY(take_line());
    return push_global(module, name);
  }

  Result<void> push_stack_global() {
    const std::vector<Ref> names = LOTSE_TRY(pop_count(2));
    const Value& module = values_[names[0]];
    const Value& name = values_[names[1]];
    if (module.kind != Kind::string || name.kind != Kind::string) {
      return bad("a global's name is not a string");
    }
    return push_global(module.text, name.text);
  }

  // ("storage", type, key, location, element count)
  Result<void> load_storage(Ref id) {
    const std::vector<Ref>& items = values_[id].items;
    const auto kind = [&](size_t i) { return values_[items[i]].kind; };
    if (values_[id].kind != Kind::tuple || items.size() != 5 || kind(0) != Kind::string ||
        values_[items[0]].text != "storage" || kind(1) != Kind::storage_type ||
        kind(2) != Kind::string || kind(4) != Kind::integer) {
      return bad("expected a storage (\"storage\", type, key, location, element count)");
    }
    return push({.kind = Kind::storage,
                 .integer = 0,
                 .text = values_[items[2]].text,
                 .items = {items[1], items[4]}});
  }

  Result<void> reduce() {
    const std::vector<Ref> call = LOTSE_TRY(pop_count(2));
    if (values_[call[1]].kind != Kind::tuple) return bad("arguments are not a tuple");
    const std::vector<Ref> arguments = values_[call[1]].items;
    switch (values_[call[0]].kind) {
      case Kind::make_dict:
        if (!arguments.empty()) return bad("an OrderedDict with arguments is not supported");
        return push_items(Kind::dict, {});
      case Kind::make_parameter:
        if (arguments.empty() || values_[arguments[0]].kind != Kind::tensor) {
          return bad("a parameter of something other than a tensor");
        }
        stack_.push_back(arguments[0]);
        return {};
      case Kind::make_tensor:
        return make_tensor(arguments);
      default:
        return bad("a call of something that is not a function");
    }
  }

  // (storage, offset, sizes, strides, requires_grad, hooks, …)
  Result<void> make_tensor(const std::vector<Ref>& arguments) {
    if (arguments.size() < 4 || values_[arguments[0]].kind != Kind::storage ||
        values_[arguments[1]].kind != Kind::integer) {
      return bad("expected a tensor (storage, offset, sizes, strides, ...)");
    }
    const Value& storage = values_[arguments[0]];
    PickledTensor tensor;
    tensor.storage = storage.text;
    tensor.dtype = static_cast<DType>(values_[storage.items[0]].integer);
    tensor.storage_elements = values_[storage.items[1]].integer;
    tensor.offset = values_[arguments[1]].integer;
    tensor.sizes = LOTSE_TRY(integers(arguments[2], "sizes"));
    tensor.strides = LOTSE_TRY(integers(arguments[3], "strides"));
    if (tensor.sizes.size() != tensor.strides.size()) {
      return bad("a tensor with {} sizes and {} strides", tensor.sizes.size(),
                 tensor.strides.size());
    }
    tensors_.push_back(std::move(tensor));
    return push({.kind = Kind::tensor,
                 .integer = static_cast<int64_t>(tensors_.size() - 1),
                 .text = {},
                 .items = {}});
  }

  Result<std::vector<int64_t>> integers(Ref ref, const char* what) const {
    const Value& tuple = values_[ref];
    if (tuple.kind != Kind::tuple || tuple.items.size() > kMaxRank) {
      return bad("a tensor's {} are not a tuple of at most {} integers", what, kMaxRank);
    }
    std::vector<int64_t> numbers;
    for (const Ref item : tuple.items) {
      if (values_[item].kind != Kind::integer) return bad("a tensor's {} are not integers", what);
      numbers.push_back(values_[item].integer);
    }
    return numbers;
  }

  // Attributes of a dict (PyTorch's _metadata) carry no weights.
  Result<void> build() {
    LOTSE_TRY(pop());
    if (stack_.empty() || values_[stack_.back()].kind != Kind::dict) {
      return bad("attributes of something other than a dict");
    }
    return {};
  }

  // The value of a string key in a dict; nothing when absent.
  std::optional<Ref> find(const Value& dict, std::string_view key) const {
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const Value& candidate = values_[dict.items[i]];
      if (candidate.kind == Kind::string && candidate.text == key) return dict.items[i + 1];
    }
    return std::nullopt;
  }

  Result<std::vector<PickledTensor>> collect() const {
    if (stack_.size() != 1 || values_[stack_[0]].kind != Kind::dict) {
      return bad("expected one dict of tensors");
    }
    const Value* dict = &values_[stack_[0]];
    const std::optional<Ref> nested = find(*dict, "state_dict");
    if (nested && values_[*nested].kind == Kind::dict) dict = &values_[*nested];
    std::vector<PickledTensor> named;
    for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const Value& name = values_[dict->items[i]];
      const Value& value = values_[dict->items[i + 1]];
      if (name.kind != Kind::string) return bad("a key of the state dict is not a string");
      if (value.kind != Kind::tensor) {
        return bad("entry {} of the state dict is not a tensor", printable(name.text));
      }
      named.push_back(tensors_[static_cast<size_t>(value.integer)]);
      named.back().name = name.text;
    }
    return named;
  }

  ByteReader in_;
  std::string_view text_;
  std::string_view origin_;
  std::vector<Value> values_;
  std::vector<Ref> stack_;
  std::unordered_map<uint32_t, Ref> memo_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace

Result<std::vector<PickledTensor>> read_pickled_state_dict(std::string_view pickle,
                                                           std::string_view origin) {
  return Machine(pickle, origin).run();
}

}  // namespace lotse
