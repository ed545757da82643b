// The cost walk: FLOPs and bytes of every operator of a program for one step.
#pragma once

#include <vector>

#include "chip/roofline.h"
#include "device/program.h"
#include "device/walk/storage.h"

namespace lotse {

// One step of `sequences` alike sequences: each brings `new_tokens` and has `context` positions in
// the cache afterwards. Decode has new_tokens 1; prefill of a prompt has new_tokens = context.
struct StepShape {
  int64_t sequences = 1;
  int64_t new_tokens = 1;
  int64_t context = 1;  // at least new_tokens
  int64_t outputs = 1;  // rows whose logits are wanted, a sequence

  int64_t tokens() const { return sequences * new_tokens; }
};

// What one operator computes and moves, each operand once: weights and cache are read whole, a
// value is written and read in the activation dtype. Experts are chosen evenly: the expected number
// of distinct ones is read.
OperatorCost operator_cost(const Program& program, const Storage& storage, const Op& op,
                           const StepShape& step);

// Keys that all queries of one sequence attend to, summed: query i of n sees context − n + i + 1,
// or the window when that is less (0: no window).
double attended_keys(int64_t new_tokens, int64_t context, int64_t window);

// Distinct experts that `tokens` tokens reach when each takes `top_k` of `experts` evenly.
double expected_experts(int64_t experts, int64_t top_k, int64_t tokens);

}  // namespace lotse
