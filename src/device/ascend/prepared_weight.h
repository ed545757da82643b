// Weights as they lie on the device.
#pragma once

#include <string>
#include <vector>

#include "device/ascend/queue.h"
#include "device/program.h"
#include "device/weight.h"

namespace lotse::ascend {

// Rows of a matrix in one format.
//   f32, f16, bf16: data [rows, columns] of that type.
//   w8a8: data i8 [rows, columns], scales f32 [rows].
//   w4a16: data i4 [columns, rows], scales of the device's half type [columns / group, rows].
struct Segment {
  WeightFormat format = WeightFormat::f32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t group = 0;
  Buffer data;
  Buffer scales;
};

struct PreparedWeight {
  std::vector<Segment> segments;  // of a matrix or table, stacked along rows; experts follow each
                                  // other in one segment
  Buffer vector;                  // of a vector, in the type of activations
  int64_t bytes() const;
};

// Adjacent parts of one format become one segment. `half` is the type that int4 weights are
// computed with. Errors: unsupported names weight, format and what to do; limit when memory is
// short.
Result<PreparedWeight> prepare_weight(const Queue& queue, const WeightDecl& decl,
                                      const Weight& weight, AclType half);

// A vector with its offset added, rounded to `type`.
Result<PreparedWeight> prepare_vector(const Queue& queue, const WeightDecl& decl,
                                      const Weight& weight, AclType type);

// `values` in f32, f16 or bf16.
std::vector<std::byte> encode(std::span<const float> values, AclType type);

}  // namespace lotse::ascend
