// Weights in the layout that the kernels stream.
//
// The output features (rows of the stored weight) are cut into panels of 64, zero-padded, so that
// one depth of a panel fills four 512-bit registers. Within a panel depth is outermost:
//   f32, f16       [K] [64]
//   bf16           [K / 2] [64] [2]
//   w8a8           [K / s] [64] [s]      int8 plus int8_offset, s = int8_step of the table
//   w4a8           [K / 2s] [64] [s]     bytes: depth j in the low nibble, j + s in the high one,
//                                        each the int4 value plus 8
//   w4a16          [K / 16] [64] [2]     32-bit words: nibble j of word i is depth 2j + i
// K is padded with zeros to a whole step. Scales are f32: [panels] [64] for w8a8, [panels] [groups]
// [64] for int4.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/huge_buffer.h"
#include "device/cpu/kernels.h"
#include "device/weight.h"

namespace lotse::cpu {

// Consecutive rows of one weight that share format and group.
struct PackedPart {
  WeightFormat format;
  int64_t rows;
  int64_t columns;  // K as stored
  int64_t depth;    // K padded
  int64_t group;    // depth that shares a scale (int4); 0 otherwise
  int64_t panel_bytes;
  int64_t scale_stride;  // floats of scale a panel
  const std::byte* panels;
  const float* scales;

  int64_t panel_count() const { return (rows + kPanel - 1) / kPanel; }
};

struct PackedWeight {
  // One vector for each expert; a plain matrix is one expert.
  std::vector<std::vector<PackedPart>> experts;
  HugeBuffer storage;
};

// Packs a weight of `experts` equal row ranges. `name` is for errors: an int8 depth beyond exact
// int32 sums, or an int4 group that is not a multiple of 32, is unsupported.
Result<PackedWeight> pack(const Weight& weight, int64_t experts, const std::string& name,
                          const KernelTable& kernels, ThreadPool& pool);

}  // namespace lotse::cpu
