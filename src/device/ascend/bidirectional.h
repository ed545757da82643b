// Bidirectional attention of whole sequences, composed of matrix products and a softmax.
#pragma once

#include "device/ascend/linear.h"
#include "device/device.h"

namespace lotse::ascend {

// `qkv` and `out` are the operator's values. Scores and their softmax are in fp32.
Result<void> run_bidirectional(Context& context, const BidirectionalAttention& op,
                               const Batch& batch, const View& qkv, const View& out);

}  // namespace lotse::ascend
