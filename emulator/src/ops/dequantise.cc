#include "ops/dequantise.h"

#include <algorithm>
#include <cstddef>

namespace lotse::emulator {
namespace {

void round_run(aclDataType type, int64_t count, float* values) {
  constexpr int64_t kRun = 128;
  std::byte stored[2 * kRun];
  for (int64_t i = 0; i < count; i += kRun) {
    const int64_t run = std::min(kRun, count - i);
    store_run(type, stored, 0, 1, run, values + i);
    load_run(type, stored, 0, 1, run, values + i);
  }
}

}  // namespace

PanelTransform dequantiser(const GroupScales& groups, aclDataType type) {
  return [&groups, type](int64_t row, int64_t depth, int64_t column, int64_t width, float* panel,
                         int64_t stride) {
    for (int64_t i = 0; i < depth; ++i, panel += stride) {
      const int64_t at = (row + i) / groups.group * groups.columns + column;
      if (!groups.offsets.empty()) {
        const float* offset = groups.offsets.data() + at;
        for (int64_t c = 0; c < width; ++c) panel[c] += offset[c];
      }
      const float* scale = groups.scales.data() + at;
      for (int64_t c = 0; c < width; ++c) panel[c] *= scale[c];
      round_run(type, width, panel);
    }
  };
}

}  // namespace lotse::emulator
