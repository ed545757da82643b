// Reader of GGUF versions 2 and 3: typed metadata and tensor extents, as stored. What they mean for
// a model is told by gguf_config and gguf_names. Format: the magic "GGUF", a version, the counts of
// tensors and of key-values, the key-values, the tensor infos, then aligned tensor data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"

namespace lotse {

// Views refer into the mapped file.
struct GgufArray {
  std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string_view>>
      items;
};
// An unsigned integer is stored as uint64_t only where it exceeds int64_t.
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string_view, GgufArray>;

// Key-values read by type. A key that is absent gives nothing; one of another type, or out of
// range, is an error that names file and key.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  explicit GgufMetadata(std::string origin) : origin_(std::move(origin)) {}

  // False when the key exists already.
  bool add(std::string_view key, GgufValue value);

  bool has(std::string_view key) const { return values_.contains(key); }
  Result<std::optional<int64_t>> integer(std::string_view key, int64_t low, int64_t high) const;
  // Finite; an integer is accepted as a number.
  Result<std::optional<double>> number(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string_view>> string(std::string_view key) const;
  Result<std::optional<std::vector<int64_t>>> integers(std::string_view key) const;
  Result<std::optional<std::vector<double>>> numbers(std::string_view key) const;
  Result<std::optional<std::vector<std::string_view>>> strings(std::string_view key) const;

  const std::string& origin() const { return origin_; }

 private:
  template <class T>
  Result<std::optional<T>> scalar(std::string_view key, const char* expected) const;
  template <class T>
  Result<std::optional<std::vector<T>>> array(std::string_view key, const char* expected) const;
  std::unexpected<Error> wrong(std::string_view key, std::string_view expected) const;

  std::string origin_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

struct GgufTensor {
  std::string_view name;
  DType dtype = DType::f32;
  Shape shape;  // row-major: the file's dimensions reversed
  std::span<const std::byte> bytes;
};

struct GgufFile {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in file order, names unique
  std::shared_ptr<const void> owner;

  // nullptr when absent.
  const GgufTensor* find(std::string_view name) const;
};

// `bytes` is a whole file, kept alive by `owner`; `origin` (a file name) begins error messages.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                            std::string_view origin);

}  // namespace lotse
