// Phi-3, 3.5 and 4: Llama with fused projections, LongRoPE and rotation of part of each head (Abdin
// et al. 2024).
#include "model/family.h"

namespace lotse::family {
namespace {

Result<ModelConfig> read_phi3(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  const auto window = LOTSE_TRY(fields.integer("sliding_window", 1, int64_t{1} << 28));
  c.window.assign(static_cast<size_t>(c.layers), window.value_or(0));
  return c;
}

}  // namespace

const Family phi3{
    "phi3", "Phi-3, 3.5 and 4", read_phi3, pre_norm_forward, {.fused_projections = true}};

}  // namespace lotse::family
