// Weights of any stored format as floats, element by element: the plain definition of each format,
// against which faster kernels are tested.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"

namespace lotse {

// Whether dequantize() knows the type: plain floats, FP8, E8M0, and GGUF's blocks. Others need
// scales that are stored in tensors of their own.
bool can_dequantize(DType dtype);

// Rows [row_begin, row_end) of a tensor as floats into `out`, which holds (row_end − row_begin) ×
// row length elements; a row is the last dimension, a scalar is one row of one element. f64 is
// rounded to float. Error: unsupported for a type that can_dequantize() denies.
Result<void> dequantize_rows(const Tensor& tensor, int64_t row_begin, int64_t row_end, float* out);

// The whole tensor, row-major.
Result<std::vector<float>> dequantize(const Tensor& tensor);

}  // namespace lotse
