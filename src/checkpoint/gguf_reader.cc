#include "checkpoint/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "base/checked.h"
#include "checkpoint/byte_reader.h"
#include "checkpoint/tensor_table.h"

namespace lotse {
namespace {

constexpr int64_t kDefaultAlignment = 32;
constexpr uint32_t kMaxDims = 4;
// The smallest encodings, by which a count is checked against the bytes that are left.
constexpr uint64_t kSmallestKeyValue = 8 + 4 + 1;
constexpr uint64_t kSmallestTensorInfo = 8 + 4 + 4 + 8;
constexpr uint64_t kSmallestString = 8;

enum class ValueType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

struct TensorType {
  uint32_t id;
  std::string_view name;
  std::optional<DType> dtype;  // nothing: known, not supported
};
// The numbers of ggml_type.
constexpr TensorType kTensorTypes[] = {
    {0, "F32", DType::f32},       {1, "F16", DType::f16},        {2, "Q4_0", DType::q4_0},
    {3, "Q4_1", DType::q4_1},     {6, "Q5_0", DType::q5_0},      {7, "Q5_1", DType::q5_1},
    {8, "Q8_0", DType::q8_0},     {9, "Q8_1", std::nullopt},     {10, "Q2_K", std::nullopt},
    {11, "Q3_K", std::nullopt},   {12, "Q4_K", DType::q4_k},     {13, "Q5_K", DType::q5_k},
    {14, "Q6_K", DType::q6_k},    {15, "Q8_K", std::nullopt},    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt}, {18, "IQ3_XXS", std::nullopt}, {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", std::nullopt}, {21, "IQ3_S", std::nullopt},   {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", std::nullopt}, {24, "I8", std::nullopt},      {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},    {27, "I64", std::nullopt},     {28, "F64", std::nullopt},
    {29, "IQ1_M", std::nullopt},  {30, "BF16", DType::bf16},     {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},  {39, "MXFP4", std::nullopt},
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
         std::string_view origin)
      : bytes_(bytes), in_(bytes), origin_(origin) {
    file_.metadata = GgufMetadata(std::string(origin));
    file_.owner = std::move(owner);
  }

  Result<GgufFile> read() {
    LOTSE_TRY(read_version());
    const uint64_t tensors = LOTSE_TRY(take<uint64_t>("the tensor count"));
    const uint64_t key_values = LOTSE_TRY(take<uint64_t>("the metadata count"));
    LOTSE_TRY(check_count(key_values, kSmallestKeyValue, "metadata entries"));
    for (uint64_t i = 0; i < key_values; ++i) LOTSE_TRY(read_key_value());
    LOTSE_TRY(check_count(tensors, kSmallestTensorInfo, "tensors"));
    for (uint64_t i = 0; i < tensors; ++i) LOTSE_TRY(read_tensor_info());
    LOTSE_TRY(place_tensors());
    return std::move(file_);
  }

 private:
  // A tensor whose bytes are not located yet.
  struct Pending {
    GgufTensor tensor;
    uint64_t offset;
    int64_t size;
  };

  template <class... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}: {}", origin_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  std::unexpected<Error> truncated(std::string_view what) const {
    return bad("the file ends at byte {} inside {}; it is truncated or damaged", bytes_.size(),
               what);
  }

  template <class T>
  Result<T> take(std::string_view what) {
    const std::optional<T> value = in_.take<T>();
    if (!value) return truncated(what);
    return *value;
  }

  Result<std::string_view> take_string(std::string_view what) {
    const uint64_t length = LOTSE_TRY(take<uint64_t>(what));
    const auto text = in_.take_text(length);
    if (!text) {
      return bad("{}: length {} exceeds the {} bytes that are left", what, length, in_.remaining());
    }
    return *text;
  }

  Result<void> check_count(uint64_t count, uint64_t smallest, std::string_view what) const {
    if (count > in_.remaining() / smallest) {
      return bad("{} {} cannot fit in the {} bytes that are left", count, what, in_.remaining());
    }
    return {};
  }

  Result<void> read_version() {
    const auto magic = in_.take_text(4);
    if (!magic || *magic != "GGUF") return bad("not a GGUF file: it does not begin with \"GGUF\"");
    const uint32_t version = LOTSE_TRY(take<uint32_t>("the version"));
    if (version == 2 || version == 3) return {};
    if (version == (2u << 24) || version == (3u << 24)) {
      return fail(ErrorCode::unsupported, "{}: big-endian GGUF is not supported", origin_);
    }
    return fail(ErrorCode::unsupported, "{}: GGUF version {} is not supported, only 2 and 3",
                origin_, version);
  }

  Result<void> read_key_value() {
    const std::string_view key = LOTSE_TRY(take_string("a metadata key"));
    if (key.empty() || key.size() > 65535) {
      return bad("a metadata key has {} bytes, expected 1 to 65535", key.size());
    }
    const std::string where = fmt::format("metadata {}", printable(key));
    const uint32_t type = LOTSE_TRY(take<uint32_t>(where));
    GgufValue value = type == static_cast<uint32_t>(ValueType::array)
                          ? LOTSE_TRY(read_array(where))
                          : LOTSE_TRY(read_scalar(type, where));
    if (!file_.metadata.add(key, std::move(value))) return bad("{}: duplicate key", where);
    return {};
  }

  template <class T>
  Result<GgufValue> take_integer(std::string_view where) {
    return GgufValue(static_cast<int64_t>(LOTSE_TRY(take<T>(where))));
  }

  Result<GgufValue> read_scalar(uint32_t type, std::string_view where) {
    switch (static_cast<ValueType>(type)) {
      case ValueType::u8:
        return take_integer<uint8_t>(where);
      case ValueType::i8:
        return take_integer<int8_t>(where);
      case ValueType::u16:
        return take_integer<uint16_t>(where);
      case ValueType::i16:
        return take_integer<int16_t>(where);
      case ValueType::u32:
        return take_integer<uint32_t>(where);
      case ValueType::i32:
        return take_integer<int32_t>(where);
      case ValueType::i64:
        return take_integer<int64_t>(where);
      case ValueType::u64: {
        const uint64_t value = LOTSE_TRY(take<uint64_t>(where));
        if (value > static_cast<uint64_t>(INT64_MAX)) return GgufValue(value);
        return GgufValue(static_cast<int64_t>(value));
      }
      case ValueType::f32:
        return GgufValue(static_cast<double>(LOTSE_TRY(take<float>(where))));
      case ValueType::f64:
        return GgufValue(LOTSE_TRY(take<double>(where)));
      case ValueType::boolean: {
        const uint8_t value = LOTSE_TRY(take<uint8_t>(where));
        if (value > 1) return bad("{}: a boolean is {}, expected 0 or 1", where, value);
        return GgufValue(value == 1);
      }
      case ValueType::string:
        return GgufValue(LOTSE_TRY(take_string(where)));
      case ValueType::array:
        return bad("{}: a list inside a list is not supported", where);
    }
    return bad("{}: unknown value type {}", where, type);
  }

  // Appends `count` values of one type; the count was checked against the bytes that are left.
  template <class T>
  Result<GgufValue> read_items(uint32_t type, uint64_t count, std::string_view where) {
    std::vector<T> items;
    items.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count; ++i) {
      const GgufValue item = LOTSE_TRY(read_scalar(type, where));
      if (!std::holds_alternative<T>(item)) return bad("{}: item {} exceeds 2^63-1", where, i);
      items.push_back(std::get<T>(item));
    }
    return GgufValue(GgufArray{std::move(items)});
  }

  Result<GgufValue> read_array(std::string_view where) {
    const uint32_t type = LOTSE_TRY(take<uint32_t>(where));
    const uint64_t count = LOTSE_TRY(take<uint64_t>(where));
    const std::string items = fmt::format("items of {}", where);
    constexpr uint64_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, kSmallestString, 0, 8, 8, 8};
    if (type >= std::size(kWidths) || kWidths[type] == 0) {
      return bad("{}: a list of value type {} is not supported", where, type);
    }
    LOTSE_TRY(check_count(count, kWidths[type], items));
    switch (static_cast<ValueType>(type)) {
      case ValueType::string:
        return read_items<std::string_view>(type, count, where);
      case ValueType::boolean:
        return read_items<bool>(type, count, where);
      case ValueType::f32:
      case ValueType::f64:
        return read_items<double>(type, count, where);
      default:
        return read_items<int64_t>(type, count, where);
    }
  }

  Result<DType> tensor_type(std::string_view name, uint32_t id) const {
    const auto* known = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes),
                                     [&](const TensorType& type) { return type.id == id; });
    const bool is_known = known != std::end(kTensorTypes);
    if (is_known && known->dtype) return *known->dtype;
    std::string supported;
    for (const TensorType& type : kTensorTypes) {
      if (type.dtype) supported += fmt::format(" {}", type.name);
    }
    return fail(ErrorCode::unsupported, "{}: tensor {}: type {} is not supported; supported are{}",
                origin_, printable(name),
                is_known ? std::string(known->name) : fmt::format("{}", id), supported);
  }

  Result<void> read_tensor_info() {
    const std::string_view name = LOTSE_TRY(take_string("a tensor name"));
    const std::string where = fmt::format("tensor {}", printable(name));
    if (!names_.insert(name).second) return bad("{}: duplicate name", where);
    const uint32_t rank = LOTSE_TRY(take<uint32_t>(where));
    if (rank > kMaxDims)
      return bad("{}: {} dimensions, at most {} expected", where, rank, kMaxDims);
    std::vector<int64_t> dims(rank);
    for (uint32_t i = 0; i < rank; ++i) {
      const uint64_t dim = LOTSE_TRY(take<uint64_t>(where));
      if (dim > static_cast<uint64_t>(INT64_MAX)) {
        return bad("{}: dimension {} exceeds 2^63-1", where, dim);
      }
      dims[rank - 1 - i] = static_cast<int64_t>(dim);
    }
    const uint32_t type = LOTSE_TRY(take<uint32_t>(where));
    const uint64_t offset = LOTSE_TRY(take<uint64_t>(where));
    const DType dtype = LOTSE_TRY(tensor_type(name, type));
    const TensorInfo info = LOTSE_TRY(checked_tensor_info(origin_, name, dtype, dims));
    pending_.push_back({{name, dtype, info.shape, {}}, offset, info.bytes});
    return {};
  }

  Result<void> place_tensors() {
    const int64_t alignment = LOTSE_TRY(file_.metadata.integer("general.alignment", 8, 1 << 20))
                                  .value_or(kDefaultAlignment);
    if (!std::has_single_bit(static_cast<uint64_t>(alignment))) {
      return bad("metadata general.alignment: expected a power of two, got {}", alignment);
    }
    const auto begin =
        static_cast<size_t>(round_up(static_cast<int64_t>(in_.position()), alignment));
    const std::span<const std::byte> data =
        begin < bytes_.size() ? bytes_.subspan(begin) : std::span<const std::byte>();
    for (Pending& pending : pending_) {
      const auto size = static_cast<uint64_t>(pending.size);
      const std::string_view name = pending.tensor.name;
      if (pending.offset % static_cast<uint64_t>(alignment) != 0) {
        return bad("tensor {}: offset {} is not a multiple of the alignment {}", printable(name),
                   pending.offset, alignment);
      }
      if (pending.offset > data.size() || size > data.size() - pending.offset) {
        return bad("tensor {}: {} bytes at offset {} exceed the {} bytes of data in the file",
                   printable(name), size, pending.offset, data.size());
      }
      pending.tensor.bytes =
          data.subspan(static_cast<size_t>(pending.offset), static_cast<size_t>(size));
      file_.tensors.push_back(pending.tensor);
    }
    return check_overlaps();
  }

  Result<void> check_overlaps() {
    std::sort(pending_.begin(), pending_.end(), [](const Pending& a, const Pending& b) {
      return std::pair(a.offset, a.size) < std::pair(b.offset, b.size);
    });
    for (size_t i = 1; i < pending_.size(); ++i) {
      const Pending& previous = pending_[i - 1];
      if (previous.offset + static_cast<uint64_t>(previous.size) > pending_[i].offset) {
        return bad("tensor {} overlaps tensor {}", printable(pending_[i].tensor.name),
                   printable(previous.tensor.name));
      }
    }
    return {};
  }

  std::span<const std::byte> bytes_;
  ByteReader in_;
  std::string_view origin_;
  std::unordered_set<std::string_view> names_;
  std::vector<Pending> pending_;
  GgufFile file_;
};

}  // namespace

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto it = std::find_if(tensors.begin(), tensors.end(),
                               [&](const GgufTensor& tensor) { return tensor.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                            std::string_view origin) {
  return Reader(bytes, std::move(owner), origin).read();
}

}  // namespace lotse
