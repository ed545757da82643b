// Writes a safetensors file as a stream: the header first, from names, dtypes and shapes known in
// advance, then the tensors' data in the same order, in pieces of any size.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/result.h"
#include "checkpoint/weight_source.h"

namespace lotse {

// The eight bytes of length and the JSON header, padded with spaces to a multiple of 8. Of each
// TensorInfo the name, dtype, shape and bytes count. Errors: invalid_input for a duplicate name, a
// name that is reserved or not UTF-8, `bytes` that contradicts the shape, or a header beyond the
// format's limit; unsupported for a dtype that the format lacks.
Result<std::string> write_safetensors_header(const std::vector<TensorInfo>& tensors,
                                             const std::map<std::string, std::string>& metadata);

// Not thread-safe. The destination appears only by finish(); before that, destroying the writer
// leaves nothing behind. Errors of the disk (full, I/O) name the destination.
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          std::vector<TensorInfo> tensors,
                                          const std::map<std::string, std::string>& metadata = {});

  // Begins the data of the next tensor; `name` must be the next in order and the one before must be
  // complete, else it is an error of the caller (LOTSE_CHECK).
  void begin(std::string_view name);
  // Appends to the current tensor, never beyond its size.
  Result<void> append(std::span<const std::byte> bytes);
  // begin() and append() of a whole tensor.
  Result<void> write(std::string_view name, std::span<const std::byte> bytes);
  // After the last tensor: syncs the file and renames it into place.
  Result<void> finish();

 private:
  SafetensorsWriter(AtomicFile file, std::vector<TensorInfo> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  AtomicFile file_;
  std::vector<TensorInfo> tensors_;
  size_t next_ = 0;        // the tensor that begin() expects
  int64_t remaining_ = 0;  // bytes that the current tensor lacks
};

}  // namespace lotse
