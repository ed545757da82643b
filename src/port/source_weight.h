// A checkpoint's weights as rows of floats, however they are stored: plain, GGUF blocks, FP8, or
// compressed-tensors' int8 and int4, with the scales that stand in tensors of their own.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/weight_source.h"

namespace lotse {

// One weight and the checkpoint's tensors that hold it. A scale, where there is one, multiplies a
// block of block_rows × block_columns elements.
struct SourceWeight {
  std::string name;          // "….weight", without quantisation suffixes
  std::string values;        // tensor with the elements: `name`, or "….weight_packed"
  std::string scales;        // empty without
  std::string file;          // that holds the values
  Shape shape;               // of the elements
  DType dtype = DType::f32;  // of the elements; i4 for packed ones
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  int64_t bytes = 0;  // of all its tensors

  bool is_quantised() const { return !scales.empty(); }
};

// Groups the tensors of a checkpoint into weights, sorted by name. Scales that belong to static
// activations are left out: Lotse quantises activations as they come. Errors: unsupported for a
// `quantization_config` or a tensor that cannot be read as floats (asymmetric, reordered, another
// method), naming what can; invalid_input for scales of another shape than the weight needs.
Result<std::vector<SourceWeight>> source_weights(const WeightSource& source, const Json& config,
                                                 const std::string& origin);

// Tells the kernel that these bytes of a mapped file are not needed any more, so that a process
// does not seem to hold all that it has read. Never changes what the bytes are.
void release_pages(std::span<const std::byte> bytes);

// Reads one weight. Thread-safe.
class SourceRows {
 public:
  static Result<SourceRows> open(const WeightSource& source, const SourceWeight& weight);

  // A row is the last dimension; a scalar is one row of one element.
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

  // Rows [begin, end) into `out`, which holds (end − begin) × columns() floats.
  Result<void> read(int64_t begin, int64_t end, float* out) const;
  // Their stored bytes, for a weight without scales of its own.
  std::span<const std::byte> bytes(int64_t begin, int64_t end) const;
  void release(int64_t begin, int64_t end) const { release_pages(bytes(begin, end)); }

 private:
  void read_elements(int64_t row, float* out) const;

  Tensor values_;
  DType dtype_ = DType::f32;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  std::vector<float> scales_;
  int64_t block_rows_ = 1;
  int64_t block_columns_ = 1;
  int64_t scale_columns_ = 0;  // scales in one row of blocks
};

}  // namespace lotse
