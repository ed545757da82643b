// Keys follow the GGUF specification ("{architecture}.block_count", …). Where llama.cpp fixes a
// constant in its code instead of writing it to the file, the same constant stands here.
#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "checkpoint/dequantize.h"
#include "checkpoint/tensor_table.h"

namespace lotse {
namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxWidth = int64_t{1} << 31;

struct Architecture {
  std::string_view gguf;
  GgufFamily family;
  const char* model_type;
  const char* class_name;
};
// "llama" stands for three families, told apart by what the file holds.
constexpr Architecture kArchitectures[] = {
    {"llama", GgufFamily::llama, "llama", "LlamaForCausalLM"},
    {"llama", GgufFamily::mistral, "mistral", "MistralForCausalLM"},
    {"llama", GgufFamily::mixtral, "mixtral", "MixtralForCausalLM"},
    {"qwen2", GgufFamily::qwen2, "qwen2", "Qwen2ForCausalLM"},
    {"qwen3", GgufFamily::qwen3, "qwen3", "Qwen3ForCausalLM"},
    {"qwen3moe", GgufFamily::qwen3_moe, "qwen3_moe", "Qwen3MoeForCausalLM"},
    {"phi3", GgufFamily::phi3, "phi3", "Phi3ForCausalLM"},
    {"gemma2", GgufFamily::gemma2, "gemma2", "Gemma2ForCausalLM"},
    {"gemma3", GgufFamily::gemma3, "gemma3_text", "Gemma3ForCausalLM"},
    {"olmo2", GgufFamily::olmo2, "olmo2", "Olmo2ForCausalLM"},
};

// A float32 of the file as the double of its shortest decimal form: 1e-05, not 9.9999997e-06.
double shortest(double value) {
  const float single = static_cast<float>(value);
  if (static_cast<double>(single) != value) return value;
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, single);
  double decimal = value;
  if (error == std::errc()) std::from_chars(digits, end, decimal);
  return decimal;
}

class ConfigBuilder {
 public:
  explicit ConfigBuilder(const GgufFile& file) : file_(file), metadata_(file.metadata) {}

  Result<GgufModel> build() {
    LOTSE_TRY(find_architecture());
    LOTSE_TRY(add_dimensions());
    LOTSE_TRY(add_numbers());
    LOTSE_TRY(add_rope());
    LOTSE_TRY(add_experts());
    LOTSE_TRY(add_family_constants());
    LOTSE_TRY(add_tokens());
    return std::move(model_);
  }

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }

  Result<std::optional<int64_t>> integer(std::string_view name, int64_t low, int64_t high) const {
    return metadata_.integer(key(name), low, high);
  }

  Result<int64_t> required(std::string_view name, int64_t low, int64_t high) const {
    const auto value = LOTSE_TRY(integer(name, low, high));
    if (value) return *value;
    return fail(ErrorCode::invalid_input, "{}: metadata {} is missing", metadata_.origin(),
                printable(key(name)));
  }

  bool is(GgufFamily family) const { return model_.family == family; }

  Result<void> find_architecture() {
    const auto name = LOTSE_TRY(metadata_.string("general.architecture"));
    if (!name) {
      return fail(ErrorCode::invalid_input, "{}: metadata general.architecture is missing",
                  metadata_.origin());
    }
    prefix_ = *name;
    const Architecture* found =
        std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                     [&](const Architecture& a) { return a.gguf == prefix_; });
    if (found == std::end(kArchitectures)) {
      return fail(ErrorCode::unsupported,
                  "{}: metadata general.architecture: {} is not supported; supported are llama "
                  "(also mistral and mixtral), qwen2, qwen3, qwen3moe, phi3, gemma2, gemma3, olmo2",
                  metadata_.origin(), printable(prefix_));
    }
    if (found->family == GgufFamily::llama) found += LOTSE_TRY(llama_variant());
    model_.family = found->family;
    config()["model_type"] = found->model_type;
    config()["architectures"] = Json::array({found->class_name});
    return {};
  }

  // 0 for Llama, 1 for Mistral (it has a sliding window), 2 for Mixtral (it has experts).
  Result<int> llama_variant() const {
    const auto experts = LOTSE_TRY(integer("expert_count", 0, kMaxExperts));
    if (experts.value_or(0) > 0) return 2;
    const auto window = LOTSE_TRY(integer("attention.sliding_window", 0, kMaxWidth));
    return window.value_or(0) > 0 ? 1 : 0;
  }

  Result<void> add_dimensions() {
    model_.layers = LOTSE_TRY(required("block_count", 1, kMaxLayers));
    model_.heads = LOTSE_TRY(required("attention.head_count", 1, kMaxHeads));
    model_.kv_heads =
        LOTSE_TRY(integer("attention.head_count_kv", 1, kMaxHeads)).value_or(model_.heads);
    const int64_t hidden = LOTSE_TRY(required("embedding_length", 1, kMaxWidth));
    head_dim_ = LOTSE_TRY(integer("attention.key_length", 1, kMaxWidth))
                    .value_or(std::max<int64_t>(1, hidden / model_.heads));
    const auto value_length = LOTSE_TRY(integer("attention.value_length", 1, kMaxWidth));
    if (value_length.value_or(head_dim_) != head_dim_) {
      return fail(ErrorCode::unsupported,
                  "{}: metadata {}: {} differs from the key length {}, which is not supported",
                  metadata_.origin(), key("attention.value_length"), *value_length, head_dim_);
    }
    Json& out = config();
    out["num_hidden_layers"] = model_.layers;
    out["num_attention_heads"] = model_.heads;
    out["num_key_value_heads"] = model_.kv_heads;
    out["hidden_size"] = hidden;
    out["head_dim"] = head_dim_;
    out["intermediate_size"] = LOTSE_TRY(required("feed_forward_length", 1, kMaxWidth));
    out["max_position_embeddings"] = LOTSE_TRY(required("context_length", 1, kMaxWidth));
    return {};
  }

  // Numbers that stand under another name in config.json.
  Result<void> add_numbers() {
    constexpr std::pair<const char*, const char*> kNumbers[] = {
        {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
        {"attn_logit_softcapping", "attn_logit_softcapping"},
        {"final_logit_softcapping", "final_logit_softcapping"},
    };
    for (const auto& [gguf, hf] : kNumbers) {
      const auto value = LOTSE_TRY(metadata_.number(key(gguf)));
      if (value) config()[hf] = shortest(*value);
    }
    if (!config().contains("rms_norm_eps")) {
      return fail(ErrorCode::invalid_input, "{}: metadata {} is missing", metadata_.origin(),
                  key("attention.layer_norm_rms_epsilon"));
    }
    const auto window = LOTSE_TRY(integer("attention.sliding_window", 0, kMaxWidth));
    if (window.value_or(0) > 0) config()["sliding_window"] = *window;
    return {};
  }

  Result<void> add_rope() {
    const auto theta = LOTSE_TRY(metadata_.number(key("rope.freq_base")));
    config()["rope_theta"] = shortest(theta.value_or(10000.0));
    const auto rotated = LOTSE_TRY(integer("rope.dimension_count", 1, head_dim_));
    rotary_dim_ = rotated.value_or(head_dim_);
    if (rotary_dim_ != head_dim_) {
      if (!is(GgufFamily::phi3)) {
        return fail(ErrorCode::unsupported,
                    "{}: metadata {}: {} of {} dimensions are rotated, which is supported for phi3 "
                    "only",
                    metadata_.origin(), key("rope.dimension_count"), rotary_dim_, head_dim_);
      }
      config()["partial_rotary_factor"] =
          static_cast<double>(rotary_dim_) / static_cast<double>(head_dim_);
    }
    LOTSE_TRY(add_rope_scaling());
    if (file_.find("rope_freqs.weight") != nullptr) LOTSE_TRY(add_llama3_scaling());
    if (file_.find("rope_factors_long.weight") != nullptr) LOTSE_TRY(add_longrope());
    return {};
  }

  Result<int64_t> original_context() const {
    return LOTSE_TRY(integer("rope.scaling.original_context_length", 1, kMaxWidth))
        .value_or(config()["max_position_embeddings"].get<int64_t>());
  }

  Result<void> add_rope_scaling() {
    const auto type = LOTSE_TRY(metadata_.string(key("rope.scaling.type")));
    const std::string_view name = type.value_or("none");
    if (name == "none" || name == "longrope") return {};
    if (name != "linear" && name != "yarn") {
      return fail(ErrorCode::unsupported,
                  "{}: metadata {}: {} is not supported, only linear, yarn "
                  "and longrope",
                  metadata_.origin(), key("rope.scaling.type"), printable(name));
    }
    const auto factor = LOTSE_TRY(metadata_.number(key("rope.scaling.factor")));
    Json scaling = {{"rope_type", name}, {"factor", shortest(factor.value_or(1.0))}};
    if (name == "yarn") scaling["original_max_position_embeddings"] = LOTSE_TRY(original_context());
    config()["rope_scaling"] = std::move(scaling);
    return {};
  }

  // The divisors of the rotary frequencies that the file holds as a tensor.
  Result<std::vector<float>> rope_factors(std::string_view name) const {
    const GgufTensor* tensor = file_.find(name);
    if (tensor == nullptr || tensor->dtype != DType::f32 ||
        tensor->shape != Shape({rotary_dim_ / 2})) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected f32 of shape [{}]",
                  metadata_.origin(), name, rotary_dim_ / 2);
    }
    std::vector<float> factors =
        LOTSE_TRY(dequantize({tensor->dtype, tensor->shape, tensor->bytes, nullptr}));
    for (const float factor : factors) {
      if (std::isfinite(factor) && factor > 0) continue;
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected positive factors, got {}",
                  metadata_.origin(), name, factor);
    }
    return factors;
  }

  // The factors Llama 3.1 defines for these parameters, with low_freq_factor 1, high_freq_factor 4.
  std::vector<float> llama3_factors(double factor, double context) const {
    std::vector<float> factors;
    const double theta = config()["rope_theta"].get<double>();
    for (int64_t i = 0; i < rotary_dim_ / 2; ++i) {
      const double wavelength =
          2 * std::numbers::pi *
          std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim_));
      const double smooth = std::clamp((context / wavelength - 1.0) / 3.0, 0.0, 1.0);
      factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth)));
    }
    return factors;
  }

  // Llama 3.1 writes its scaling as factors only. Its published parameters are recognised; any
  // other factors are expressed exactly as a long rope whose attention is not scaled.
  Result<void> add_llama3_scaling() {
    const std::vector<float> factors = LOTSE_TRY(rope_factors("rope_freqs.weight"));
    const auto stated = LOTSE_TRY(integer("rope.scaling.original_context_length", 1, kMaxWidth));
    const int64_t context = stated.value_or(8192);
    const float factor = factors.empty() ? 1.0f : factors.back();
    const std::vector<float> expected = llama3_factors(factor, static_cast<double>(context));
    const bool same = std::equal(factors.begin(), factors.end(), expected.begin(),
                                 [](float a, float b) { return std::fabs(a - b) <= 1e-4f * b; });
    if (same) {
      config()["rope_scaling"] = {{"rope_type", "llama3"},
                                  {"factor", shortest(static_cast<double>(factor))},
                                  {"low_freq_factor", 1.0},
                                  {"high_freq_factor", 4.0},
                                  {"original_max_position_embeddings", context}};
    } else {
      config()["rope_scaling"] = {{"rope_type", "longrope"},
                                  {"short_factor", factors},
                                  {"long_factor", factors},
                                  {"attention_factor", 1.0},
                                  {"original_max_position_embeddings", context}};
    }
    return {};
  }

  Result<void> add_longrope() {
    const std::vector<float> longer = LOTSE_TRY(rope_factors("rope_factors_long.weight"));
    const std::vector<float> shorter = LOTSE_TRY(rope_factors("rope_factors_short.weight"));
    const int64_t context = LOTSE_TRY(original_context());
    Json scaling = {{"rope_type", "longrope"}, {"type", "longrope"}};
    for (const float factor : longer) scaling["long_factor"].push_back(shortest(factor));
    for (const float factor : shorter) scaling["short_factor"].push_back(shortest(factor));
    const auto attention = LOTSE_TRY(metadata_.number(key("rope.scaling.attn_factor")));
    if (attention) scaling["attention_factor"] = shortest(*attention);
    scaling["original_max_position_embeddings"] = context;
    config()["rope_scaling"] = std::move(scaling);
    config()["original_max_position_embeddings"] = context;
    return {};
  }

  Result<void> add_experts() {
    if (!is(GgufFamily::mixtral) && !is(GgufFamily::qwen3_moe)) return {};
    model_.experts = LOTSE_TRY(required("expert_count", 1, kMaxExperts));
    config()["num_experts_per_tok"] = LOTSE_TRY(required("expert_used_count", 1, model_.experts));
    if (is(GgufFamily::mixtral)) {
      config()["num_local_experts"] = model_.experts;
      return {};
    }
    config()["num_experts"] = model_.experts;
    config()["moe_intermediate_size"] =
        LOTSE_TRY(required("expert_feed_forward_length", 1, kMaxWidth));
    config()["norm_topk_prob"] = true;
    config()["decoder_sparse_step"] = 1;
    config()["mlp_only_layers"] = Json::array();
    return {};
  }

  Result<void> add_family_constants() {
    Json& out = config();
    const bool gemma = is(GgufFamily::gemma2) || is(GgufFamily::gemma3);
    out[gemma ? "hidden_activation" : "hidden_act"] = gemma ? "gelu_pytorch_tanh" : "silu";
    out["tie_word_embeddings"] = file_.find("output.weight") == nullptr;
    out["attention_bias"] = file_.find("blk.0.attn_q.bias") != nullptr;
    if (is(GgufFamily::llama)) out["mlp_bias"] = file_.find("blk.0.ffn_up.bias") != nullptr;
    if (is(GgufFamily::qwen2) || is(GgufFamily::qwen3)) out["use_sliding_window"] = false;
    if (gemma) LOTSE_TRY(add_gemma_constants());
    return {};
  }

  // Gemma 2 alternates windowed and full layers; in Gemma 3 every sixth layer is full and the
  // windowed ones rotate with a base of their own. The 27B models scale queries by hidden / heads.
  Result<void> add_gemma_constants() {
    Json& out = config();
    const bool is_gemma2 = is(GgufFamily::gemma2);
    const int64_t period = is_gemma2 ? 2 : 6;
    for (int64_t i = 0; i < model_.layers; ++i) {
      out["layer_types"].push_back((i + 1) % period == 0 ? "full_attention" : "sliding_attention");
    }
    const bool is_27b = model_.layers == (is_gemma2 ? 46 : 62);
    out["query_pre_attn_scalar"] =
        is_27b ? out["hidden_size"].get<int64_t>() / model_.heads : head_dim_;
    if (!is_gemma2) {
      const auto local = LOTSE_TRY(metadata_.number(key("rope.freq_base_swa")));
      out["rope_local_base_freq"] = shortest(local.value_or(10000.0));
    }
    return {};
  }

  Result<void> add_tokens() {
    constexpr std::pair<const char*, const char*> kIds[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token_id"},
        {"tokenizer.ggml.eos_token_id", "eos_token_id"},
        {"tokenizer.ggml.padding_token_id", "pad_token_id"},
    };
    for (const auto& [gguf, hf] : kIds) {
      const auto id = LOTSE_TRY(metadata_.integer(gguf, 0, kMaxWidth));
      if (id) config()[hf] = *id;
    }
    const GgufTensor* embedding = file_.find("token_embd.weight");
    if (embedding != nullptr && embedding->shape.rank() == 2) {
      config()["vocab_size"] = embedding->shape[0];
      return {};
    }
    const auto tokens = LOTSE_TRY(metadata_.strings("tokenizer.ggml.tokens"));
    config()["vocab_size"] = tokens ? static_cast<int64_t>(tokens->size())
                                    : LOTSE_TRY(required("vocab_size", 1, kMaxWidth));
    return {};
  }

  Json& config() { return model_.config; }
  const Json& config() const { return model_.config; }

  const GgufFile& file_;
  const GgufMetadata& metadata_;
  std::string prefix_;
  int64_t head_dim_ = 0;
  int64_t rotary_dim_ = 0;
  GgufModel model_;
};

}  // namespace

Result<GgufModel> read_gguf_model(const GgufFile& file) { return ConfigBuilder(file).build(); }

}  // namespace lotse
