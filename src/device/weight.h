// Weights as they are stored: what a checkpoint holds after binding, what a device prepares.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace lotse {

// The arithmetic of a linear is named by its weight's format; docs/numerics.md fixes each.
enum class WeightFormat : uint8_t {
  f32,
  f16,
  bf16,
  w8a8,   // int8 weights, one scale an output row; activations int8, one dynamic scale a token
  w4a16,  // int4 weights, one scale a group of columns; activations bf16
  w4a8,   // int4 weights, one scale a group of columns; activations int8 as in w8a8
};

std::string_view name(WeightFormat format);

// Bytes of weight, scales included, that one row of `columns` occupies in this format.
double bytes_per_row(WeightFormat format, int64_t columns, int64_t group);

// `rows` rows of a weight in one format.
struct WeightPart {
  WeightFormat format;
  int64_t rows;
  int64_t columns;
  // f32, f16, bf16: [rows, columns] of that type. w8a8: i8 [rows, columns].
  // w4a16, w4a8: i4 [rows, columns], two's complement, low nibble first, rows padded to whole
  // bytes.
  Tensor data;
  // f32: [rows] for w8a8, [rows, ⌈columns / group⌉] for the int4 formats; unused otherwise.
  Tensor scales;
  int64_t group = 0;  // columns that share a scale; 0 where there are none
};

// `count` neighbours from `first` on.
struct Range {
  int64_t first = 0;
  int64_t count = 0;
};

// A bound weight: its parts stacked along rows, in order. A part never straddles two experts.
struct Weight {
  std::vector<WeightPart> parts;
};

// Bytes that the parts occupy, data and scales.
int64_t stored_bytes(const Weight& weight);

}  // namespace lotse
