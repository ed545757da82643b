// Rotary frequencies of every scaling that checkpoints name.
#pragma once

#include "base/result.h"
#include "device/program.h"
#include "model/config.h"

namespace lotse {

// The table for heads of `head_dim`, in a model trained to `max_context` positions and now used up
// to `context` of them. The context matters where a scaling depends on it: longrope has two sets of
// factors, dynamic NTK raises the base beyond max_context. Errors: invalid_input for factors whose
// count is not half the rotated dimensions. Follows: Su et al. 2021 (RoPE), Peng et al. 2023
// (YaRN), Ding et al. 2024 (LongRoPE), and Llama 3.1's published scaling.
Result<RopeTable> make_rope_table(const RopeConfig& rope, int64_t head_dim, int64_t max_context,
                                  int64_t context);

}  // namespace lotse
