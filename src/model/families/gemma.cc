// Gemma 2 (soft caps, alternating windows) and the text part of Gemma 3 (norms on query and key
// heads, five sliding layers to a full one, a rope base of their own) — Gemma team 2024 and 2025.
// Both multiply by 1 + weight in their norms and scale embeddings by √hidden.
#include <cmath>

#include "base/float_types.h"
#include "model/family.h"

namespace lotse::family {
namespace {

constexpr int64_t kMaxWindow = int64_t{1} << 28;

Result<ModelConfig> read_gemma(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  c.tied_embeddings = LOTSE_TRY(fields.boolean_or("tie_word_embeddings", true));
  if (!fields.has("hidden_activation")) c.activation = Activation::gelu_tanh;
  // The models were trained with this factor rounded to their own dtype.
  const float root = std::sqrt(static_cast<float>(c.hidden));
  c.embedding_scale = c.dtype == "bfloat16" ? round_to_bf16(root) : root;
  const double scalar =
      LOTSE_TRY(fields.positive_or("query_pre_attn_scalar", static_cast<double>(c.head_dim)));
  c.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  c.attention_softcap =
      static_cast<float>(LOTSE_TRY(fields.number_or("attn_logit_softcapping", 0)));
  c.final_softcap = static_cast<float>(LOTSE_TRY(fields.number_or("final_logit_softcapping", 0)));
  return c;
}

Result<ModelConfig> read_gemma2(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_gemma(fields));
  const int64_t window = LOTSE_TRY(fields.integer_or("sliding_window", 4096, 1, kMaxWindow));
  c.window = LOTSE_TRY(
      read_windows(fields, c.layers, window, [](int64_t layer) { return layer % 2 == 0; }));
  return c;
}

Result<ModelConfig> read_gemma3(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_gemma(fields));
  const int64_t window = LOTSE_TRY(fields.integer_or("sliding_window", 4096, 1, kMaxWindow));
  const int64_t pattern = LOTSE_TRY(fields.integer_or("sliding_window_pattern", 6, 1, 1024));
  c.window = LOTSE_TRY(read_windows(fields, c.layers, window, [](int64_t) { return true; }));
  if (!fields.has("layer_types")) {
    for (int64_t layer = pattern - 1; layer < c.layers; layer += pattern) {
      c.window[static_cast<size_t>(layer)] = 0;
    }
  }
  const auto parameters = LOTSE_TRY(fields.object("rope_parameters"));
  if (parameters && parameters->has("full_attention")) {
    const auto full = LOTSE_TRY(parameters->object("full_attention"));
    const auto sliding = LOTSE_TRY(parameters->object("sliding_attention"));
    const Json wrapped_full = {{"rope_parameters", full->json()}};
    const Json wrapped_sliding = {{"rope_parameters", sliding ? sliding->json() : Json::object()}};
    c.rope = LOTSE_TRY(read_rope(JsonFields(wrapped_full, full->origin()), 1e6));
    c.local_rope = LOTSE_TRY(read_rope(JsonFields(wrapped_sliding, full->origin()), 1e4));
    return c;
  }
  c.rope = LOTSE_TRY(read_rope(fields, 1e6));
  c.local_rope.emplace();
  c.local_rope->theta = LOTSE_TRY(fields.positive_or("rope_local_base_freq", 1e4));
  return c;
}

ForwardResults forward(Decoder& d, const ModelConfig& config) {
  ValueId x = d.embed();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    d.begin_layer(layer);
    const ValueId mixed = d.attention(d.norm("attention_norm", "input_layernorm", x));
    x = d.add("attention_add", x, d.norm("post_attention_norm", "post_attention_layernorm", mixed));
    const ValueId fed = d.mlp(d.norm("mlp_norm", "pre_feedforward_layernorm", x));
    x = d.add("output", x, d.norm("post_mlp_norm", "post_feedforward_layernorm", fed));
  }
  return d.results(x);
}

}  // namespace

const Family gemma2{"gemma2", "Gemma 2", read_gemma2, forward, {.norm_offset = 1}};
const Family gemma3{"gemma3",
                    "Gemma 3 (text)",
                    read_gemma3,
                    forward,
                    {.qk_norm = QkNorm::per_head, .norm_offset = 1}};

}  // namespace lotse::family
