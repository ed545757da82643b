// Reader of the safetensors format, strict: a file that any other reader could understand
// differently is refused. Format: an unsigned 64-bit little-endian header length, a JSON header
// {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {string: string}}, then the data,
// contiguous, without holes or overlaps, to the end of the file.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/tensor_table.h"

namespace lotse {

inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsFile {
  std::vector<StoredTensor> tensors;  // in the order of their data
  std::map<std::string, std::string> metadata;
};

// `bytes` is a whole file, kept alive by `owner`; `origin` (a file name) begins error messages.
// The tensors are views, no data is copied.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes,
                                          std::shared_ptr<const void> owner,
                                          std::string_view origin);

Result<SafetensorsFile> open_safetensors(const std::filesystem::path& path);

// The name safetensors gives a dtype ("F8_E4M3"), empty for one that the format cannot hold.
std::string_view safetensors_dtype(DType dtype);

}  // namespace lotse
