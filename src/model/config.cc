#include "model/config.h"

#include <array>
#include <cmath>
#include <utility>

namespace lotse {
namespace {

// Generous bounds: every real model is inside, and no product of them overflows.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 1024;
constexpr int64_t kMaxContext = int64_t{1} << 28;

Result<Activation> read_activation(const JsonFields& fields) {
  const char* key = fields.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const std::string name = LOTSE_TRY(fields.string_or(key, "silu"));
  constexpr std::array<std::pair<const char*, Activation>, 6> kNames = {{
      {"silu", Activation::silu},
      {"swish", Activation::silu},
      {"gelu_pytorch_tanh", Activation::gelu_tanh},
      {"gelu_new", Activation::gelu_tanh},
      {"gelu_tanh", Activation::gelu_tanh},
      {"gelu", Activation::gelu_erf},
  }};
  for (const auto& [known, activation] : kNames) {
    if (name == known) return activation;
  }
  return fail(ErrorCode::unsupported,
              "{}: field \"{}\": activation \"{}\" is not supported; known are silu, gelu and "
              "gelu_pytorch_tanh",
              fields.origin(), key, name);
}

Result<void> read_dimensions(const JsonFields& fields, ModelConfig& c) {
  c.vocabulary = LOTSE_TRY(fields.required_integer("vocab_size", 1, kMaxVocabulary));
  c.hidden = LOTSE_TRY(fields.required_integer("hidden_size", 1, kMaxWidth));
  c.layers = LOTSE_TRY(fields.required_integer("num_hidden_layers", 1, kMaxLayers));
  c.heads = LOTSE_TRY(fields.required_integer("num_attention_heads", 1, kMaxHeads));
  c.kv_heads = LOTSE_TRY(fields.integer_or("num_key_value_heads", c.heads, 1, kMaxHeads));
  c.intermediate = LOTSE_TRY(fields.required_integer("intermediate_size", 1, kMaxWidth));
  c.max_context = LOTSE_TRY(fields.integer_or("max_position_embeddings", 2048, 1, kMaxContext));
  const auto head_dim = LOTSE_TRY(fields.integer("head_dim", 1, kMaxHeadDim));
  if (!head_dim && (c.hidden % c.heads != 0 || c.hidden / c.heads > kMaxHeadDim)) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"head_dim\" is missing and hidden_size {} cannot be divided among "
                "num_attention_heads {}",
                fields.origin(), c.hidden, c.heads);
  }
  c.head_dim = head_dim.value_or(c.hidden / c.heads);
  if (c.head_dim % 2 != 0) {
    return fail(ErrorCode::invalid_input, "{}: field \"head_dim\": expected an even number, got {}",
                fields.origin(), c.head_dim);
  }
  if (c.heads % c.kv_heads != 0) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"num_key_value_heads\": expected a divisor of num_attention_heads {}, "
                "got {}",
                fields.origin(), c.heads, c.kv_heads);
  }
  return {};
}

Result<std::vector<double>> read_factors(const JsonFields& fields, const char* key) {
  std::vector<double> factors;
  if (!fields.has(key)) return factors;
  const Json& list = fields.json().at(key);
  if (!list.is_array() || list.size() > static_cast<size_t>(kMaxHeadDim)) {
    return fail(ErrorCode::invalid_input, "{}: field \"{}\": expected a list of numbers",
                fields.origin(), key);
  }
  for (const Json& item : list) {
    if (!item.is_number() || !(item.get<double>() > 0)) {
      return fail(ErrorCode::invalid_input, "{}: field \"{}\": expected positive numbers, got {}",
                  fields.origin(), key, item.dump());
    }
    factors.push_back(item.get<double>());
  }
  return factors;
}

Result<void> read_scaling(const JsonFields& fields, RopeConfig& rope) {
  rope.type =
      LOTSE_TRY(fields.string_or("rope_type", LOTSE_TRY(fields.string_or("type", "default"))));
  if (rope.type == "su") rope.type = "longrope";
  constexpr std::array<const char*, 6> kTypes = {"default", "linear", "dynamic",
                                                 "yarn",    "llama3", "longrope"};
  bool known = false;
  for (const char* type : kTypes) known = known || rope.type == type;
  if (!known) {
    return fail(ErrorCode::unsupported,
                "{}: field \"rope_type\": \"{}\" is not supported; known are default, linear, "
                "dynamic, yarn, llama3 and longrope",
                fields.origin(), rope.type);
  }
  rope.theta = LOTSE_TRY(fields.positive_or("rope_theta", rope.theta));
  rope.factor = LOTSE_TRY(fields.positive_or("factor", rope.factor));
  rope.partial = LOTSE_TRY(fields.positive_or("partial_rotary_factor", rope.partial));
  rope.original_context = LOTSE_TRY(
      fields.integer_or("original_max_position_embeddings", rope.original_context, 1, kMaxContext));
  rope.attention_factor = LOTSE_TRY(fields.number("attention_factor"));
  rope.beta_fast = LOTSE_TRY(fields.positive_or("beta_fast", rope.beta_fast));
  rope.beta_slow = LOTSE_TRY(fields.positive_or("beta_slow", rope.beta_slow));
  rope.mscale = LOTSE_TRY(fields.number_or("mscale", 0));
  rope.mscale_all_dim = LOTSE_TRY(fields.number_or("mscale_all_dim", 0));
  rope.truncate = LOTSE_TRY(fields.boolean_or("truncate", true));
  rope.low_frequency_factor = LOTSE_TRY(fields.positive_or("low_freq_factor", 1));
  rope.high_frequency_factor = LOTSE_TRY(fields.positive_or("high_freq_factor", 4));
  rope.short_factor = LOTSE_TRY(read_factors(fields, "short_factor"));
  rope.long_factor = LOTSE_TRY(read_factors(fields, "long_factor"));
  return {};
}

}  // namespace

Result<RopeConfig> read_rope(const JsonFields& fields, double theta) {
  RopeConfig rope;
  rope.theta = LOTSE_TRY(fields.positive_or("rope_theta", theta));
  rope.partial = LOTSE_TRY(fields.positive_or("partial_rotary_factor", 1));
  rope.original_context =
      LOTSE_TRY(fields.integer_or("original_max_position_embeddings", 0, 1, kMaxContext));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto scaling = LOTSE_TRY(fields.object(key));
    if (scaling) LOTSE_TRY(read_scaling(*scaling, rope));
  }
  if (rope.partial > 1) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"partial_rotary_factor\": expected at most 1, got {}", fields.origin(),
                rope.partial);
  }
  return rope;
}

Result<std::vector<int64_t>> read_token_ids(const JsonFields& fields, const char* key) {
  std::vector<int64_t> ids;
  if (!fields.has(key)) return ids;
  const Json& value = fields.json().at(key);
  const Json list = value.is_array() ? value : Json::array({value});
  for (const Json& item : list) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 ||
        item.get<int64_t>() > kMaxVocabulary || ids.size() >= 256) {
      return fail(ErrorCode::invalid_input,
                  "{}: field \"{}\": expected a token id or a list of them", fields.origin(), key);
    }
    ids.push_back(item.get<int64_t>());
  }
  return ids;
}

Result<std::vector<int64_t>> read_windows(const JsonFields& fields, int64_t layers,
                                          int64_t sliding_window,
                                          bool (*is_sliding)(int64_t layer)) {
  std::vector<int64_t> windows;
  const bool listed = fields.has("layer_types");
  const Json types = listed ? fields.json().at("layer_types") : Json();
  if (listed && (!types.is_array() || static_cast<int64_t>(types.size()) != layers)) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"layer_types\": expected a list of num_hidden_layers = {} names",
                fields.origin(), layers);
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    bool sliding = is_sliding(layer);
    if (listed) {
      const Json& type = types[static_cast<size_t>(layer)];
      sliding = type == "sliding_attention";
      if (!sliding && type != "full_attention") {
        return fail(ErrorCode::unsupported,
                    "{}: field \"layer_types\": {} is not supported; known are "
                    "\"full_attention\" and \"sliding_attention\"",
                    fields.origin(), type.dump());
      }
    }
    windows.push_back(sliding ? sliding_window : 0);
  }
  return windows;
}

Result<ModelConfig> read_common_config(const JsonFields& fields) {
  ModelConfig c;
  c.model_type = LOTSE_TRY(fields.string_or("model_type", ""));
  if (fields.has("architectures")) {
    const Json& names = fields.json().at("architectures");
    if (names.is_array() && !names.empty() && names[0].is_string()) c.architecture = names[0];
  }
  c.dtype = LOTSE_TRY(fields.string_or("dtype", LOTSE_TRY(fields.string_or("torch_dtype", ""))));
  LOTSE_TRY(read_dimensions(fields, c));
  const double epsilon = LOTSE_TRY(fields.positive_or("rms_norm_eps", 1e-6));
  c.norm_epsilon = static_cast<float>(epsilon);
  c.activation = LOTSE_TRY(read_activation(fields));
  c.tied_embeddings = LOTSE_TRY(fields.boolean_or("tie_word_embeddings", false));
  c.qkv_bias = LOTSE_TRY(fields.boolean_or("attention_bias", false));
  c.output_bias = c.qkv_bias;
  c.mlp_bias = LOTSE_TRY(fields.boolean_or("mlp_bias", false));
  c.rope = LOTSE_TRY(read_rope(fields, 10000));
  c.attention_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim)));
  c.window.assign(static_cast<size_t>(c.layers), 0);
  c.eos = LOTSE_TRY(read_token_ids(fields, "eos_token_id"));
  const auto bos = LOTSE_TRY(read_token_ids(fields, "bos_token_id"));
  if (!bos.empty()) c.bos = bos.front();
  return c;
}

}  // namespace lotse
