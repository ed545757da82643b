// Mixtures of experts: grouped, where the chip has products of all experts at once, or composed.
#pragma once

#include "device/ascend/linear.h"
#include "device/program.h"

namespace lotse::ascend {

// out = act(gate) · up of `in` [tokens, 2 · width].
Result<void> gated_activation(Context& context, Activation activation, const View& in,
                              const View& out);

struct MoeWeights {
  const PreparedWeight& router;
  const PreparedWeight& gate_up;
  const PreparedWeight& down;
};

// On the device alone, without waiting: tokens sorted by expert there, one product for all experts.
Result<void> run_grouped_moe(Context& context, const Moe& op, const MoeWeights& weights,
                             const View& in, const View& out);

// Composed: the router's choice comes to the host, which sorts tokens by expert; each expert that
// was chosen computes its tokens at once. `index` is room on the device for i64 [tokens · top_k].
Result<void> run_moe(Context& context, const Moe& op, const MoeWeights& weights, const View& index,
                     const View& in, const View& out);

}  // namespace lotse::ascend
