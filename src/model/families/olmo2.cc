// OLMo 2: norms after attention and MLP, none before; queries and keys normalised over their full
// width (OLMo team 2024).
#include "model/family.h"

namespace lotse::family {
namespace {

ForwardResults forward(Decoder& d, const ModelConfig& config) {
  ValueId x = d.embed();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    d.begin_layer(layer);
    x = d.add("attention_add", x,
              d.norm("attention_norm", "post_attention_layernorm", d.attention(x)));
    x = d.add("output", x, d.norm("mlp_norm", "post_feedforward_layernorm", d.mlp(x)));
  }
  return d.results(x);
}

}  // namespace

const Family olmo2{"olmo2", "OLMo 2", read_common_config, forward, {.qk_norm = QkNorm::full_width}};

}  // namespace lotse::family
