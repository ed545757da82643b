// The WeightSource shared by all formats: a sorted table of checked views into mapped files.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/chunk_hashes.h"
#include "checkpoint/weight_source.h"

namespace lotse {

// A tensor of a file. `info` describes what the model sees; `bytes` lie inside `owner`.
struct StoredTensor {
  TensorInfo info;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  // Turns the stored bytes (given under info's dtype and shape) into what the model sees, in a new
  // buffer. Empty where the two are the same.
  std::function<Result<Tensor>(const Tensor& stored)> prepare;
  // What the bytes are checked against when they are read; null where no hashes are known.
  std::shared_ptr<const CheckedChunks> hashes = nullptr;
};

// Sorts the tensors by name; two of one name are an error that names both files.
Result<std::unique_ptr<WeightSource>> make_weight_source(std::vector<StoredTensor> tensors);

// A tensor of this dtype and shape in a new zeroed buffer, written through the returned span.
struct OwnedTensor {
  Tensor tensor;
  std::span<std::byte> bytes;
};
OwnedTensor allocate_tensor(DType dtype, const Shape& shape);

// A shape and dtype from a file: at most 8 dimensions, no overflow, whole blocks in the last
// dimension. `where` (file and tensor) begins error messages.
Result<TensorInfo> checked_tensor_info(std::string_view where, std::string_view name, DType dtype,
                                       std::span<const int64_t> dims);

// `text` from a file made fit for one line of a message: control characters and malformed UTF-8
// escaped, at most about 100 bytes.
std::string printable(std::string_view text);

}  // namespace lotse
