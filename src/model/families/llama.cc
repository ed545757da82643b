// Llama 2, 3 and 3.x (Touvron et al. 2023, Dubey et al. 2024), and Mistral, which adds a sliding
// window (Jiang et al. 2023).
#include "model/family.h"

namespace lotse::family {
namespace {

Result<ModelConfig> read_mistral(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  const auto window = LOTSE_TRY(fields.integer("sliding_window", 1, int64_t{1} << 28));
  c.window =
      LOTSE_TRY(read_windows(fields, c.layers, window.value_or(0), [](int64_t) { return true; }));
  return c;
}

}  // namespace

const Family llama{"llama", "Llama 2, 3 and 3.x", read_common_config, pre_norm_forward, {}};
const Family mistral{"mistral", "Mistral", read_mistral, pre_norm_forward, {}};

}  // namespace lotse::family
