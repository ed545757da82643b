#include "ops/dequantise.h"

#include "tensor/convert.h"

namespace lotse::emulator {

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
