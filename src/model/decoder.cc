#include "model/decoder.h"

#include <fmt/core.h>

namespace lotse {

Decoder::Decoder(Ops& ops, const ModelConfig& config, DecoderStyle style, RopeTable full,
                 RopeTable sliding)
    : ops_(ops),
      config_(config),
      style_(style),
      full_rope_(ops.rope_table(std::move(full))),
      sliding_rope_(config.local_rope ? ops.rope_table(std::move(sliding)) : full_rope_) {}

ValueId Decoder::embed() {
  return ops_.embed("model.embed_tokens.weight", config_.vocabulary, config_.hidden,
                    config_.embedding_scale);
}

void Decoder::begin_layer(int64_t layer) {
  layer_ = static_cast<size_t>(layer);
  prefix_ = fmt::format("model.layers.{}.", layer);
  ops_.begin_layer(static_cast<int32_t>(layer));
}

ValueId Decoder::norm(const char* name, const char* suffix, ValueId in) {
  const std::string source = tensor(suffix) + ".weight";
  const WeightId weight = ops_.vector({source}, config_.hidden, style_.norm_offset);
  return ops_.rms_norm(name, in, weight, config_.norm_epsilon);
}

void Decoder::norm_queries_and_keys(ValueId qkv) {
  const ModelConfig& c = config_;
  const bool per_head = style_.qk_norm == QkNorm::per_head;
  const auto one = [&](const char* name, const char* suffix, int64_t first, int64_t heads) {
    const int64_t width = per_head ? c.head_dim : heads * c.head_dim;
    const WeightId weight = ops_.vector({tensor(suffix)}, width, style_.norm_offset);
    ops_.rms_norm_groups(name, qkv, weight, c.norm_epsilon, first, per_head ? heads : 1, width);
  };
  one("q_norm", "self_attn.q_norm.weight", 0, c.heads);
  one("k_norm", "self_attn.k_norm.weight", c.heads * c.head_dim, c.kv_heads);
}

ValueId Decoder::attention(ValueId in) {
  const ModelConfig& c = config_;
  const int64_t rows = (c.heads + 2 * c.kv_heads) * c.head_dim;
  const auto sources = [&](const char* kind) {
    using Names = std::vector<std::string>;
    const std::string base = "self_attn.";
    if (style_.fused_projections) return Names{tensor(base + "qkv_proj." + kind)};
    return Names{tensor(base + "q_proj." + kind), tensor(base + "k_proj." + kind),
                 tensor(base + "v_proj." + kind)};
  };
  const WeightId weight = ops_.matrix(sources("weight"), rows, c.hidden);
  const WeightId bias = c.qkv_bias ? ops_.vector(sources("bias"), rows) : kNone;
  const ValueId qkv = ops_.linear("qkv", in, weight, bias);
  if (style_.qk_norm != QkNorm::none) norm_queries_and_keys(qkv);
  const int64_t window = c.window[layer_];
  ops_.rope("rope", qkv, window > 0 ? sliding_rope_ : full_rope_, 0, c.heads + c.kv_heads,
            c.head_dim);
  const ValueId mixed = ops_.attention(
      qkv, {c.heads, c.kv_heads, c.head_dim, c.attention_scale, c.attention_softcap, window});
  const WeightId output =
      ops_.matrix({tensor("self_attn.o_proj.weight")}, c.hidden, c.heads * c.head_dim);
  const WeightId output_bias =
      c.output_bias ? ops_.vector({tensor("self_attn.o_proj.bias")}, c.hidden) : kNone;
  return ops_.linear("attention_output", mixed, output, output_bias);
}

ValueId Decoder::mlp(ValueId in) {
  const ModelConfig& c = config_;
  if (c.moe.experts > 0 && c.moe.is_sparse[layer_]) return moe(in);
  const auto sources = [&](const char* kind) {
    using Names = std::vector<std::string>;
    if (style_.fused_projections) return Names{tensor(std::string("mlp.gate_up_proj.") + kind)};
    return Names{tensor(std::string("mlp.gate_proj.") + kind),
                 tensor(std::string("mlp.up_proj.") + kind)};
  };
  const WeightId gate_up = ops_.matrix(sources("weight"), 2 * c.intermediate, c.hidden);
  const WeightId gate_up_bias =
      c.mlp_bias ? ops_.vector(sources("bias"), 2 * c.intermediate) : kNone;
  const WeightId down = ops_.matrix({tensor("mlp.down_proj.weight")}, c.hidden, c.intermediate);
  const WeightId down_bias =
      c.mlp_bias ? ops_.vector({tensor("mlp.down_proj.bias")}, c.hidden) : kNone;
  const ValueId hidden =
      ops_.gated_activation(ops_.linear("gate_up", in, gate_up, gate_up_bias), c.activation);
  return ops_.linear("mlp_output", hidden, down, down_bias);
}

ValueId Decoder::moe(ValueId in) {
  const MoeConfig& m = config_.moe;
  const std::string base = tensor(style_.moe_prefix);
  std::vector<std::string> gate_up;
  std::vector<std::string> down;
  for (int64_t e = 0; e < m.experts; ++e) {
    const std::string expert = fmt::format("{}.experts.{}.", base, e);
    gate_up.push_back(expert + style_.expert_gate + ".weight");
    gate_up.push_back(expert + style_.expert_up + ".weight");
    down.push_back(expert + style_.expert_down + ".weight");
  }
  Ops::MoeShape shape{};
  shape.router = ops_.matrix({base + ".gate.weight"}, m.experts, config_.hidden);
  shape.gate_up = ops_.experts(std::move(gate_up), m.experts, 2 * m.width, config_.hidden);
  shape.down = ops_.experts(std::move(down), m.experts, config_.hidden, m.width);
  shape.experts = m.experts;
  shape.top_k = m.top_k;
  shape.width = m.width;
  shape.normalise = m.normalise;
  shape.activation = config_.activation;
  return ops_.moe(in, shape);
}

ForwardResults Decoder::results(ValueId in) {
  ops_.begin_layer(kNone);
  const WeightId weight = ops_.vector({"model.norm.weight"}, config_.hidden, style_.norm_offset);
  const ValueId hidden =
      ops_.rms_norm("final_norm", ops_.gather_rows(in), weight, config_.norm_epsilon);
  if (!config_.has_head) return {kNone, hidden};
  const char* head = config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  const ValueId out =
      ops_.linear("logits", hidden, ops_.matrix({head}, config_.vocabulary, config_.hidden));
  if (config_.final_softcap > 0) ops_.softcap(out, config_.final_softcap);
  return {out, hidden};
}

}  // namespace lotse
