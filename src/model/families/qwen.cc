// Qwen2 and 2.5 (biases on q, k and v; Yang et al. 2024), Qwen3 (norms on query and key heads) and
// its mixture of experts (Yang et al. 2025).
#include <algorithm>

#include "model/family.h"

namespace lotse::family {
namespace {

// Sliding attention only when asked for, in the layers from max_window_layers on.
Result<ModelConfig> read_qwen(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  const bool used = LOTSE_TRY(fields.boolean_or("use_sliding_window", false));
  const auto window = LOTSE_TRY(fields.integer("sliding_window", 1, int64_t{1} << 28));
  const int64_t full = LOTSE_TRY(fields.integer_or("max_window_layers", 28, 0, 1 << 20));
  const int64_t positions = used ? window.value_or(0) : 0;
  if (fields.has("layer_types")) {
    c.window = LOTSE_TRY(read_windows(fields, c.layers, positions, [](int64_t) { return false; }));
    return c;
  }
  for (int64_t layer = full; layer < c.layers; ++layer) {
    c.window[static_cast<size_t>(layer)] = positions;
  }
  return c;
}

Result<ModelConfig> read_qwen2(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_qwen(fields));
  c.qkv_bias = true;
  c.output_bias = false;
  return c;
}

Result<std::vector<bool>> read_sparse_layers(const JsonFields& fields, int64_t layers) {
  const int64_t step = LOTSE_TRY(fields.integer_or("decoder_sparse_step", 1, 1, 1024));
  std::vector<bool> sparse;
  sparse.reserve(static_cast<size_t>(layers));
  for (int64_t layer = 0; layer < layers; ++layer) sparse.push_back((layer + 1) % step == 0);
  if (!fields.has("mlp_only_layers")) return sparse;
  const Json& dense = fields.json().at("mlp_only_layers");
  const bool valid =
      dense.is_array() && std::ranges::all_of(dense, [&](const Json& item) {
        return item.is_number_integer() && item.get<int64_t>() >= 0 && item.get<int64_t>() < layers;
      });
  if (!valid) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"mlp_only_layers\": expected a list of layers below {}",
                fields.origin(), layers);
  }
  for (const Json& item : dense) sparse[item.get<size_t>()] = false;
  return sparse;
}

Result<ModelConfig> read_qwen3_moe(const JsonFields& fields) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  if (LOTSE_TRY(fields.boolean_or("use_sliding_window", false))) {
    const auto window = LOTSE_TRY(fields.integer("sliding_window", 1, int64_t{1} << 28));
    c.window.assign(static_cast<size_t>(c.layers), window.value_or(0));
  }
  const char* experts = fields.has("num_local_experts") ? "num_local_experts" : "num_experts";
  c.moe.experts = LOTSE_TRY(fields.required_integer(experts, 1, 1024));
  c.moe.top_k = LOTSE_TRY(fields.required_integer("num_experts_per_tok", 1, c.moe.experts));
  c.moe.width = LOTSE_TRY(fields.required_integer("moe_intermediate_size", 1, 1 << 20));
  c.moe.normalise = LOTSE_TRY(fields.boolean_or("norm_topk_prob", false));
  c.moe.is_sparse = LOTSE_TRY(read_sparse_layers(fields, c.layers));
  return c;
}

constexpr DecoderStyle kQwen3 = {.qk_norm = QkNorm::per_head};

}  // namespace

const Family qwen2{"qwen2", "Qwen2 and Qwen2.5", read_qwen2, pre_norm_forward, {}};
const Family qwen3{"qwen3", "Qwen3", read_qwen, pre_norm_forward, kQwen3};
const Family qwen3_moe{"qwen3_moe", "Qwen3 MoE", read_qwen3_moe, pre_norm_forward, kQwen3};

}  // namespace lotse::family
