// Weights of few bits as panels of a matrix product.
#pragma once

#include <vector>

#include "ops/matmul_kernel.h"

namespace lotse::emulator {

// Rows of a weight in groups of `group` that share scales [groups, columns] and, unless empty,
// offsets of the same shape.
struct GroupScales {
  std::vector<float> scales, offsets;
  int64_t group = 1, columns = 0;
};

// (weight + offset) · scale, rounded to `type`. Keeps a reference to `groups`.
PanelTransform dequantiser(const GroupScales& groups, aclDataType type);

}  // namespace lotse::emulator
