// Rows of floats turned into the formats that weights are stored in, and what that costs in
// accuracy. Pure functions; the formats' arithmetic is fixed in docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "device/weight.h"

namespace lotse {

// Sums over pairs of a source value and the value stored for it. Adding the rows of a tensor in
// order makes the result independent of threads.
struct ErrorSums {
  double error = 0;    // Σ (stored − source)²
  double source = 0;   // Σ source²
  double stored = 0;   // Σ stored²
  double product = 0;  // Σ source · stored
  double largest = 0;  // max |stored − source|

  void add(const ErrorSums& other);
};

struct TensorError {
  double relative_rms = 0;  // √(Σ error² / Σ source²); 0 for a tensor of zeros stored as zeros
  double cosine = 1;        // between source and stored, 1 when either is zero throughout
  double max_abs = 0;
};
TensorError summarise(const ErrorSums& sums);

ErrorSums compare_rows(std::span<const float> source, std::span<const float> stored);

// Symmetric int8 with one scale a row: scale = max|w| / 127 in fp32, q = w / scale rounded half to
// even, within ±127. A row of zeros has scale 0 and q = 0. Returns the scale; it is not finite when
// a value of the row is not, and then q is unspecified.
float quantise_int8_row(std::span<const float> row, std::span<int8_t> q);

// Symmetric int4, q in −8…7, with one scale for `group` columns (the last group may be shorter).
// Each scale is a bf16 number: of several that clip the largest values by up to 30%, the one with
// the least squared error. A group of zeros has scale 0. `scales` has ⌈columns / group⌉ elements.
// False when a value is not finite; the outputs are unspecified then.
bool quantise_int4_row(std::span<const float> row, int64_t group, std::span<uint16_t> scales,
                       std::span<int8_t> q);

// Bytes of one stored row: values, and scales beside them (fp32 for int8, bf16 for int4).
int64_t value_bytes(WeightFormat format, int64_t columns);
int64_t scale_bytes(WeightFormat format, int64_t columns, int64_t group);

struct EncodedRow {
  bool is_representable = true;  // false: NaN or infinity in the row, or beyond the format's range
  ErrorSums sums;
};

// Encodes one row as safetensors hold it: plain types in native order, int8 values, int4 as
// compressed-tensors packs it (value + 8, eight nibbles a 32-bit word, lowest first; columns must
// be a multiple of 8). `values` and `scales` have value_bytes() and scale_bytes() bytes.
EncodedRow encode_row(WeightFormat format, int64_t group, std::span<const float> row,
                      std::byte* values, std::byte* scales);

}  // namespace lotse
