// The largest logits of a step, chosen on the device: only they come to the host.
#pragma once

#include <vector>

#include "device/ascend/linear.h"
#include "device/device.h"

namespace lotse::ascend {

class TopSelector {
 public:
  // The most candidates of a row.
  static constexpr int64_t kMost = 256;

  // Of the first `rows` of `logits`, fp32 [rows or more, vocabulary]. The result is valid until the
  // next call.
  Result<TopLogits> select(Context& context, const View& logits, int64_t rows,
                           const TopRequest& request);

 private:
  Result<void> bring(Context& context, const View& logits, int64_t asked, View& values);
  Result<void> settle_row(Context& context, const View& logits, int64_t row, int64_t count);
  Result<void> bring_masses(Context& context, const View& logits, const View& values,
                            float temperature);

  std::vector<float> values_;
  std::vector<int64_t> indices_;
  std::vector<float> logits_;
  std::vector<int32_t> tokens_;
  std::vector<float> masses_;
};

}  // namespace lotse::ascend
