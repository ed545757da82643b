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
//   widened: data f32 [rows, columns], the numbers of what was f16, bf16 or w4a16.
//   w8a8: data i8 [rows, columns], scales [rows] of `scale_type`.
//   w4a16: data i4 [columns, rows], scales of the device's half type [columns / group, rows]; of
//   experts both so for each expert, one after another.
// Data is row-major, or such a matrix in FRACTAL_NZ, of which a product takes all rows.
struct Segment {
  WeightFormat format = WeightFormat::f32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t group = 0;
  std::vector<int64_t> storage;  // of FRACTAL_NZ: the shape that memory has; empty for row-major
  Buffer data;
  Buffer scales;
  int64_t experts = 1;  // whose rows follow each other
  AclType scale_type = AclType::f32;
  bool is_wide = false;  // widened: `format` still names the arithmetic

  AclType type() const;  // of the data
  bool is_fractal() const { return !storage.empty(); }
};

// The quantised products take 65,535 output features; a multiple of 64 below keeps rows aligned.
inline constexpr int64_t kMaxQuantisedRows = 65'472;

struct PreparedWeight {
  std::vector<Segment> segments;  // of a matrix or table, stacked along rows; experts follow each
                                  // other in one segment
  Buffer vector;                  // of a vector, in the type of activations
  int64_t bytes() const;
};

// The type of numbers in that format, as they are stored.
AclType stored_type(WeightFormat format);

// How weights are prepared on a device.
struct Preparation {
  AclType half;        // the type that int4 weights are computed with
  bool fractal_nz;     // whether the device has FRACTAL_NZ
  bool exact = false;  // whether all but INT8 is widened to FP32
};

// Whether weights go into FRACTAL_NZ: on chips with BF16 (aclnnNpuFormatCast is for those), unless
// LOTSE_ASCEND_WEIGHTS is "nd".
bool prefers_fractal_nz(bool chip_has_bf16);

// Adjacent parts of one format become one segment; in FRACTAL_NZ where device and shape allow it,
// several where a quantised product would not take all rows. Beyond what stays, the device holds
// one matrix more at a time. Errors: unsupported names weight, format and what to do; limit when
// memory is short.
Result<PreparedWeight> prepare_weight(Queue& queue, const WeightDecl& decl, const Weight& weight,
                                      const Preparation& preparation);

// A matrix in FP32, of FP32, FP16 or BF16: routers, whose sums decide between experts and must not
// be rounded.
Result<PreparedWeight> prepare_wide(const Queue& queue, const WeightDecl& decl,
                                    const Weight& weight);

// A vector with its offset added, rounded to `type`.
Result<PreparedWeight> prepare_vector(const Queue& queue, const WeightDecl& decl,
                                      const Weight& weight, AclType type);

// `values` in f32, f16 or bf16.
std::vector<std::byte> encode(std::span<const float> values, AclType type);

}  // namespace lotse::ascend
