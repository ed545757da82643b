#include "checkpoint/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/mmap.h"

namespace lotse {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoint formats are little-endian");

using simdjson::dom::element;
using simdjson::dom::object;

struct NamedType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<NamedType, 16> kTypes = {{{"F64", DType::f64},
                                               {"F32", DType::f32},
                                               {"F16", DType::f16},
                                               {"BF16", DType::bf16},
                                               {"I64", DType::i64},
                                               {"I32", DType::i32},
                                               {"I16", DType::i16},
                                               {"I8", DType::i8},
                                               {"U8", DType::u8},
                                               {"BOOL", DType::boolean},
                                               {"F8_E4M3", DType::f8_e4m3},
                                               {"F8_E5M2", DType::f8_e5m2},
                                               {"F8_E8M0", DType::f8_e8m0},
                                               {"F4", DType::f4_e2m1},
                                               {"F6_E2M3", DType::f6_e2m3},
                                               {"F6_E3M2", DType::f6_e3m2}}};
// Legal in the format, but no model that Lotse runs stores weights in them.
constexpr std::array<std::string_view, 6> kUnsupportedTypes = {"U16", "U32",         "U64",
                                                               "C64", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

struct Extent {
  int64_t begin = 0;
  int64_t end = 0;
};

// Reads the parsed header of one file.
class HeaderReader {
 public:
  HeaderReader(std::string_view origin, std::span<const std::byte> data,
               std::shared_ptr<const void> owner)
      : origin_(origin), data_(data), owner_(std::move(owner)) {}

  Result<SafetensorsFile> read(const object& header) {
    std::unordered_set<std::string_view> names;
    for (const auto& [name, value] : header) {
      if (!names.insert(name).second) return bad("duplicate tensor {}", printable(name));
      object fields;
      if (value.get(fields) != simdjson::SUCCESS) {
        return bad("{}: expected an object", printable(name));
      }
      if (name == "__metadata__") {
        LOTSE_TRY(read_metadata(fields));
      } else {
        LOTSE_TRY(read_tensor(name, fields));
      }
    }
    LOTSE_TRY(check_layout());
    return std::move(file_);
  }

 private:
  template <class... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}: {}", origin_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  Result<void> read_metadata(const object& fields) {
    for (const auto& [key, value] : fields) {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) {
        return bad("__metadata__: field \"{}\": expected a string", printable(key));
      }
      if (!file_.metadata.emplace(key, text).second) {
        return bad("__metadata__: duplicate key \"{}\"", printable(key));
      }
    }
    return {};
  }

  Result<void> read_tensor(std::string_view name, const object& fields) {
    std::optional<element> dtype, shape, offsets;
    for (const auto& [key, value] : fields) {
      std::optional<element>* slot = key == "dtype"          ? &dtype
                                     : key == "shape"        ? &shape
                                     : key == "data_offsets" ? &offsets
                                                             : nullptr;
      if (slot == nullptr) {
        return bad("tensor {}: unknown field \"{}\"", printable(name), printable(key));
      }
      if (slot->has_value()) return bad("tensor {}: duplicate field \"{}\"", printable(name), key);
      *slot = value;
    }
    for (const auto& [key, slot] : {std::pair("dtype", &dtype), std::pair("shape", &shape),
                                    std::pair("data_offsets", &offsets)}) {
      if (!slot->has_value())
        return bad("tensor {}: field \"{}\" is missing", printable(name), key);
    }
    return add_tensor(name, LOTSE_TRY(read_dtype(name, *dtype)),
                      LOTSE_TRY(read_integers(name, "shape", *shape)),
                      LOTSE_TRY(read_integers(name, "data_offsets", *offsets)));
  }

  Result<DType> read_dtype(std::string_view name, const element& value) const {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
      return bad("tensor {}: field \"dtype\": expected a string", printable(name));
    }
    const auto known = std::find_if(kTypes.begin(), kTypes.end(),
                                    [&](const NamedType& type) { return type.name == text; });
    if (known != kTypes.end()) return known->dtype;
    if (std::find(kUnsupportedTypes.begin(), kUnsupportedTypes.end(), text) !=
        kUnsupportedTypes.end()) {
      return fail(ErrorCode::unsupported, "{}: tensor {}: dtype {} is not supported", origin_,
                  printable(name), text);
    }
    return bad("tensor {}: unknown dtype \"{}\"", printable(name), printable(text));
  }

  Result<std::vector<int64_t>> read_integers(std::string_view name, const char* field,
                                             const element& value) const {
    simdjson::dom::array items;
    if (value.get(items) != simdjson::SUCCESS) {
      return bad("tensor {}: field \"{}\": expected a list", printable(name), field);
    }
    std::vector<int64_t> integers;
    for (const element item : items) {
      int64_t integer = 0;
      if (item.get(integer) != simdjson::SUCCESS || integer < 0) {
        return bad("tensor {}: field \"{}\": expected integers from 0 to 2^63-1", printable(name),
                   field);
      }
      integers.push_back(integer);
    }
    return integers;
  }

  Result<void> add_tensor(std::string_view name, DType dtype, const std::vector<int64_t>& dims,
                          const std::vector<int64_t>& offsets) {
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      return bad("tensor {}: field \"data_offsets\": expected [begin, end] with begin <= end",
                 printable(name));
    }
    if (offsets[1] > static_cast<int64_t>(data_.size())) {
      return bad("tensor {}: data_offsets end at {}, but the file holds {} bytes of data",
                 printable(name), offsets[1], data_.size());
    }
    TensorInfo info = LOTSE_TRY(checked_tensor_info(origin_, name, dtype, dims));
    const int64_t length = offsets[1] - offsets[0];
    if (info.bytes != length) {
      return bad("tensor {}: {} of shape {} needs {} bytes, data_offsets give {}", printable(name),
                 lotse::name(dtype), to_string(info.shape), info.bytes, length);
    }
    file_.tensors.push_back(
        {std::move(info),
         data_.subspan(static_cast<size_t>(offsets[0]), static_cast<size_t>(length)),
         owner_,
         {}});
    return {};
  }

  // Sorts by position and checks that the tensors cover the data exactly.
  Result<void> check_layout() {
    const auto begin = [&](const StoredTensor& t) { return t.bytes.data() - data_.data(); };
    std::sort(file_.tensors.begin(), file_.tensors.end(),
              [&](const StoredTensor& a, const StoredTensor& b) {
                return std::pair(begin(a), a.bytes.size()) < std::pair(begin(b), b.bytes.size());
              });
    int64_t expected = 0;
    for (const StoredTensor& tensor : file_.tensors) {
      if (begin(tensor) != expected) {
        return bad("tensor {}: data begins at {}, expected {} ({})", printable(tensor.info.name),
                   begin(tensor), expected,
                   begin(tensor) < expected ? "tensors overlap" : "a hole in the data");
      }
      expected += tensor.info.bytes;
    }
    if (expected != static_cast<int64_t>(data_.size())) {
      return bad("{} bytes follow the last tensor's data",
                 static_cast<int64_t>(data_.size()) - expected);
    }
    return {};
  }

  std::string_view origin_;
  std::span<const std::byte> data_;
  std::shared_ptr<const void> owner_;
  SafetensorsFile file_;
};

// The header's JSON text, its length and outer form checked.
Result<std::string_view> header_text(std::span<const std::byte> bytes, std::string_view origin) {
  if (bytes.size() < 8) {
    return fail(ErrorCode::invalid_input,
                "{}: not a safetensors file: {} bytes, the header length alone takes 8", origin,
                bytes.size());
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeader)) {
    return fail(ErrorCode::invalid_input, "{}: header length {} exceeds the format's limit of {}",
                origin, length, kMaxSafetensorsHeader);
  }
  if (length > bytes.size() - 8) {
    return fail(ErrorCode::invalid_input,
                "{}: header length {}, but only {} bytes follow; the file is truncated", origin,
                length, bytes.size() - 8);
  }
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8,
                        static_cast<size_t>(length));
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (!text.starts_with('{') || !text.ends_with('}')) {
    return fail(ErrorCode::invalid_input,
                "{}: header must begin with '{{' and end with '}}', padded by spaces only", origin);
  }
  return text;
}

}  // namespace

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes,
                                          std::shared_ptr<const void> owner,
                                          std::string_view origin) {
  const std::string_view text = LOTSE_TRY(header_text(bytes, origin));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  simdjson::dom::parser parser;
  element root;
  object header;
  simdjson::error_code error = parser.parse(text.data(), text.size()).get(root);
  if (error == simdjson::SUCCESS) error = root.get(header);
  if (error != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_input, "{}: header is not valid JSON: {}", origin,
                simdjson::error_message(error));
  }
  return HeaderReader(origin, bytes.subspan(8 + static_cast<size_t>(length)), std::move(owner))
      .read(header);
}

Result<SafetensorsFile> open_safetensors(const std::filesystem::path& path) {
  std::shared_ptr<const MappedFile> file = LOTSE_TRY(MappedFile::open(path));
  return parse_safetensors(file->bytes(), file, path.string());
}

std::string_view safetensors_dtype(DType dtype) {
  const auto known = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const NamedType& type) { return type.dtype == dtype; });
  return known == kTypes.end() ? std::string_view() : known->name;
}

}  // namespace lotse
