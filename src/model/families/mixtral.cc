// Mixtral: Mistral with a mixture of experts in every layer (Jiang et al. 2024).
#include "model/family.h"

namespace lotse::family {
namespace {

Result<ModelConfig> read_mixtral(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  const auto window = LOTSE_TRY(fields.integer("sliding_window", 1, int64_t{1} << 28));
  c.window.assign(static_cast<size_t>(c.layers), window.value_or(0));
  c.moe.experts = LOTSE_TRY(fields.required_integer("num_local_experts", 1, 1024));
  c.moe.top_k = LOTSE_TRY(fields.required_integer("num_experts_per_tok", 1, c.moe.experts));
  c.moe.width = c.intermediate;
  c.moe.is_sparse.assign(static_cast<size_t>(c.layers), true);
  return c;
}

}  // namespace

const Family mixtral{"mixtral",
                     "Mixtral",
                     read_mixtral,
                     pre_norm_forward,
                     {.moe_prefix = "block_sparse_moe",
                      .expert_gate = "w1",
                      .expert_up = "w3",
                      .expert_down = "w2"}};

}  // namespace lotse::family
