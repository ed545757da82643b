// Broken and hostile configurations: one clear error that names the field, in no time.
#include <gtest/gtest.h>

#include <chrono>

#include "model/model.h"

namespace lotse {
namespace {

struct Case {
  std::string label;
  std::string field;  // what the message must name
  Json config;
};

Json base(const std::string& type) {
  Json config = {{"model_type", type},
                 {"vocab_size", 128},
                 {"hidden_size", 64},
                 {"intermediate_size", 96},
                 {"num_hidden_layers", 4},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"head_dim", 16},
                 {"max_position_embeddings", 512},
                 {"rms_norm_eps", 1e-6},
                 {"rope_theta", 10000.0},
                 {"hidden_act", "silu"},
                 {"tie_word_embeddings", false},
                 {"attention_bias", false},
                 {"mlp_bias", false},
                 {"eos_token_id", 2}};
  if (type == "mixtral") config["num_local_experts"] = 4;
  if (type == "qwen3_moe") {
    config["num_experts"] = 4;
    config["moe_intermediate_size"] = 32;
  }
  if (type == "mixtral" || type == "qwen3_moe") config["num_experts_per_tok"] = 2;
  return config;
}

void add(std::vector<Case>& cases, const std::string& type, const std::string& field,
         const Json& value) {
  Json config = base(type);
  config[field] = value;
  cases.push_back({type + "." + field + "=" + value.dump().substr(0, 40), field, config});
}

std::vector<Case> integers() {
  std::vector<Case> cases;
  const std::vector<Json> bad = {
      -1, 0, "64", 1.5, Json::array({1}), Json::object(), true, int64_t{1} << 40, UINT64_MAX};
  for (const char* field :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (const Json& value : bad) add(cases, "llama", field, value);
  }
  for (const char* field : {"num_experts", "moe_intermediate_size", "num_experts_per_tok"}) {
    for (const Json& value : bad) add(cases, "qwen3_moe", field, value);
  }
  for (const Json& value : {Json(-1), Json(0), Json("x"), Json(int64_t{1} << 40)}) {
    add(cases, "mistral", "sliding_window", value);
    add(cases, "gemma2", "sliding_window", value);
    add(cases, "mixtral", "num_local_experts", value);
    add(cases, "gemma3", "sliding_window_pattern", value);
    add(cases, "qwen3_moe", "decoder_sparse_step", value);
  }
  return cases;
}

std::vector<Case> others() {
  std::vector<Case> cases;
  for (const Json& value : {Json(0), Json(-1.0), Json("1e-5"), Json::array(), Json(true)}) {
    add(cases, "llama", "rms_norm_eps", value);
    add(cases, "llama", "rope_theta", value);
    add(cases, "gemma2", "query_pre_attn_scalar", value);
    add(cases, "gemma3", "rope_local_base_freq", value);
  }
  for (const char* field : {"tie_word_embeddings", "attention_bias", "mlp_bias"}) {
    for (const Json& value : {Json(0), Json("true"), Json::array()})
      add(cases, "llama", field, value);
  }
  for (const Json& value : {Json("relu9"), Json(1), Json::array()})
    add(cases, "llama", "hidden_act", value);
  for (const Json& value :
       {Json(-2), Json("x"), Json::array({1, "x"}), Json::object(), Json(1.5)}) {
    add(cases, "llama", "eos_token_id", value);
  }
  for (const Json& value : {Json("x"), Json(3), Json::array({"full_attention"}),
                            Json::array({"a", "b", "c", "d"}), Json::array({1, 2, 3, 4})}) {
    add(cases, "gemma2", "layer_types", value);
    add(cases, "qwen3", "layer_types", value);
  }
  for (const Json& value : {Json("x"), Json::array({-1}), Json::array({4}), Json::array({"0"})}) {
    add(cases, "qwen3_moe", "mlp_only_layers", value);
  }
  add(cases, "llama", "head_dim", 15);
  add(cases, "llama", "num_key_value_heads", 3);
  add(cases, "qwen3_moe", "num_experts_per_tok", 5);
  for (const Json& value : {Json("gpt5"), Json(""), Json(7), Json(std::string(100000, 'a'))}) {
    add(cases, "llama", "model_type", value);
  }
  return cases;
}

std::vector<Case> scalings() {
  std::vector<Case> cases;
  const auto scaled = [&](const std::string& field, const Json& scaling) {
    Json config = base("llama");
    config["rope_scaling"] = scaling;
    cases.push_back({"rope_scaling " + scaling.dump().substr(0, 60), field, config});
  };
  scaled("rope_type", {{"rope_type", "spiral"}});
  scaled("rope_type", {{"rope_type", 3}});
  for (const Json& value : {Json(0), Json(-8), Json("8")}) {
    scaled("factor", {{"type", "linear"}, {"factor", value}});
    scaled("low_freq_factor", {{"type", "llama3"}, {"low_freq_factor", value}});
    scaled("high_freq_factor", {{"type", "llama3"}, {"high_freq_factor", value}});
    scaled("beta_fast", {{"type", "yarn"}, {"beta_fast", value}});
    scaled("beta_slow", {{"type", "yarn"}, {"beta_slow", value}});
    scaled("original_max_position_embeddings",
           {{"type", "yarn"}, {"original_max_position_embeddings", value}});
  }
  scaled("attention_factor", {{"type", "yarn"}, {"attention_factor", "x"}});
  scaled("truncate", {{"type", "yarn"}, {"truncate", 1}});
  scaled("rope_scaling", "linear");
  scaled("rope_scaling", Json::array());
  for (const Json& factors :
       {Json::array({1, 1}), Json(1), Json::array({1, -1}), Json::array({"x"})}) {
    scaled("short_factor", {{"type", "longrope"}, {"short_factor", factors}});
  }
  Json partial = base("phi3");
  for (const double value : {0.01, 2.0, -1.0}) {
    partial["partial_rotary_factor"] = value;
    cases.push_back({"partial", "partial_rotary_factor", partial});
  }
  return cases;
}

std::vector<Case> missing() {
  std::vector<Case> cases;
  for (const char* type : {"llama", "qwen2", "gemma2", "olmo2", "phi3", "mixtral"}) {
    for (const char* field : {"model_type", "vocab_size", "hidden_size", "intermediate_size",
                              "num_hidden_layers", "num_attention_heads"}) {
      Json config = base(type);
      config.erase(field);
      cases.push_back({std::string(type) + " without " + field, field, config});
    }
  }
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (auto part : {integers(), others(), scalings(), missing()}) {
    cases.insert(cases.end(), part.begin(), part.end());
  }
  return cases;
}

TEST(MalformedConfig, EveryCaseNamesItsField) {
  const std::vector<Case> cases = all_cases();
  EXPECT_GE(cases.size(), 240u);
  for (const Case& c : cases) {
    const auto start = std::chrono::steady_clock::now();
    const auto result = read_model_config(c.config, "config.json");
    const auto time = std::chrono::steady_clock::now() - start;
    EXPECT_LT(time, std::chrono::seconds(1)) << c.label;
    ASSERT_FALSE(result) << c.label;
    EXPECT_NE(result.error().message.find(c.field), std::string::npos)
        << c.label << ": " << result.error().message;
    EXPECT_TRUE(result.error().message.starts_with("config.json")) << result.error().message;
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos) << c.label;
    EXPECT_LT(result.error().message.size(), 500u) << c.label;
  }
}

TEST(MalformedConfig, TheUnbrokenConfigurationsAreRead) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "phi3", "gemma2",
                           "gemma3", "olmo2", "mixtral"}) {
    const auto config = read_model_config(base(type), "config.json");
    ASSERT_TRUE(config) << type << ": " << config.error().message;
    EXPECT_TRUE(record_program(*config, 128));
  }
}

TEST(MalformedConfig, NotAnObject) {
  for (const char* text : {"[]", "3", "null", "\"x\""}) {
    const auto json = parse_json(text, "config.json").value();
    EXPECT_TRUE(read_model_config(json, "config.json").error().message.starts_with("config.json"));
  }
}

TEST(MalformedConfig, AnUnknownFamilyIsToldTheClosest) {
  struct Unknown {
    Json config;
    std::string closest;
  };
  const Unknown kUnknown[] = {
      {{{"model_type", "deepseek_v3"}, {"n_routed_experts", 256}}, "qwen3_moe"},
      {{{"model_type", "gpt_oss"}, {"num_local_experts", 32}}, "qwen3_moe"},
      {{{"model_type", "qwen2_moe"}, {"num_experts", 60}}, "qwen3_moe"},
      {{{"model_type", "mixtral2"}, {"num_local_experts", 8}}, "mixtral"},
      {{{"model_type", "gemma"}}, "gemma2"},
      {{{"model_type", "olmo"}}, "olmo2"},
      {{{"model_type", "stablelm"}}, "llama"},
      {{{"model_type", "wrapper"}, {"text_config", {{"model_type", "qwen4"}}}}, "qwen2"},
  };
  for (const Unknown& unknown : kUnknown) {
    const std::string message = read_model_config(unknown.config, "config.json").error().message;
    EXPECT_TRUE(message.ends_with("the closest is " + unknown.closest)) << message;
  }
}

struct QuantisationCase {
  const char* json;
  const char* expected;
};

TEST(MalformedConfig, QuantisationsThatLotseLacksAreNamed) {
  constexpr QuantisationCase kCases[] = {
      {R"({"quant_method":"gptq","bits":4})", "gptq"},
      {R"({"quant_method":"awq"})", "awq"},
      {R"({"quant_method":"fp8"})", "lotse port"},
      {R"({"bits":4})", "quant_method"},
      {R"([])", "quantization_config"},
      {R"({"quant_method":"compressed-tensors"})", "config_groups"},
      {R"({"quant_method":"compressed-tensors","config_groups":{}})", "config_groups"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{}}})", "weights"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{}}}})", "num_bits"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":8,"type":"float"}}}})",
       "float"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":4,"symmetric":false}}}})",
       "asymmetric"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":4,"strategy":"group"}}}})",
       "group_size"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":3}}}})",
       "3-bit"},
  };
  for (const QuantisationCase& c : kCases) {
    const Json config = {{"quantization_config", Json::parse(c.json)}};
    const auto result = read_quantisation(config, "config.json");
    ASSERT_FALSE(result) << c.json;
    EXPECT_NE(result.error().message.find(c.expected), std::string::npos) << result.error().message;
  }
}

}  // namespace
}  // namespace lotse
