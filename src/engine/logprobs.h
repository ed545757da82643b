// Log-probabilities of a row of logits.
#pragma once

#include <span>
#include <vector>

#include "engine/request.h"

namespace lotse {

// The log-softmax of `token`, and of the `top` likeliest. Sums in a fixed order.
GeneratedToken with_logprobs(int32_t token, std::span<const float> logits, int32_t top);

}  // namespace lotse
