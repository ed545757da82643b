#include <array>

#include "model/family.h"

namespace lotse {

std::span<const Family> families() {
  static const std::array<Family, 13> kAll = {
      family::llama, family::mistral, family::qwen2,      family::qwen3, family::qwen3_moe,
      family::phi3,  family::gemma2,  family::gemma3,     family::olmo2, family::mixtral,
      family::bert,  family::roberta, family::xlm_roberta};
  return kAll;
}

const Family* find_family(std::string_view model_type) {
  // Multimodal wrappers name their text part differently.
  if (model_type == "gemma3_text") model_type = "gemma3";
  for (const Family& candidate : families()) {
    if (candidate.model_type == model_type) return &candidate;
  }
  return nullptr;
}

ForwardResults pre_norm_forward(Decoder& d, const ModelConfig& config) {
  ValueId x = d.embed();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    d.begin_layer(layer);
    x = d.add("attention_add", x, d.attention(d.norm("attention_norm", "input_layernorm", x)));
    x = d.add("output", x, d.mlp(d.norm("mlp_norm", "post_attention_layernorm", x)));
  }
  return d.results(x);
}

}  // namespace lotse
