#include "checkpoint/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/float_types.h"
#include "base/mmap.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/gguf_reader.h"
#include "checkpoint/safetensors.h"
#include "tests/checkpoint/builders.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = fs::path(LOTSE_SOURCE_DIR) / "tests/golden";

std::optional<fs::path> test_data() {
  const char* folder = std::getenv("LOTSE_TEST_DATA");
  if (folder == nullptr) return std::nullopt;
  return fs::path(folder);
}

// All tensors of `expected` are in `actual`, equal to the last bit.
void expect_same_tensors(const WeightSource& actual, const WeightSource& expected) {
  for (const TensorInfo& info : expected.tensors()) {
    const auto tensor = actual.read(info.name);
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(tensor->shape, info.shape) << info.name;
    EXPECT_EQ(dequantize(*tensor).value(), dequantize(expected.read(info.name).value()).value())
        << info.name;
  }
}

// Every field of GGUF's config that the original states too has the original's value.
void expect_same_config(const Json& actual, const Json& original) {
  for (const auto& [key, value] : actual.items()) {
    if (key == "torch_dtype" || !original.contains(key)) continue;
    EXPECT_EQ(value, original[key]) << key;
  }
  for (const char* key : {"model_type", "hidden_size", "num_hidden_layers", "vocab_size",
                          "num_attention_heads", "num_key_value_heads", "rms_norm_eps"}) {
    EXPECT_EQ(actual.value(key, Json()), original.value(key, Json(0))) << key;
  }
}

TEST(Gguf, GoldenModelsEqualTheirSafetensors) {
  for (const char* name : {"llama", "qwen3"}) {
    const auto gguf = open_checkpoint(kGolden / "gguf" / fmt::format("{}.gguf", name));
    ASSERT_TRUE(gguf) << gguf.error().message;
    const auto original = open_checkpoint(kGolden / name);
    ASSERT_TRUE(original) << original.error().message;
    EXPECT_EQ(gguf->format, "gguf");
    EXPECT_EQ(gguf->weights->tensors().size(), original->weights->tensors().size());
    expect_same_tensors(*gguf->weights, *original->weights);
    expect_same_config(gguf->config, original->config);
    EXPECT_TRUE(gguf->gguf_vocab.has_value());
  }
}

TEST(Gguf, ReadsEveryValueType) {
  const auto file = MappedFile::open(kGolden / "gguf/blocks.gguf").value();
  const auto gguf = parse_gguf(file->bytes(), file, "blocks.gguf");
  ASSERT_TRUE(gguf) << gguf.error().message;
  const GgufMetadata& m = gguf->metadata;
  const auto integer = [&](const char* key) {
    return m.integer(key, INT64_MIN, INT64_MAX).value().value();
  };
  EXPECT_EQ(integer("test.uint8"), 200);
  EXPECT_EQ(integer("test.int8"), -100);
  EXPECT_EQ(integer("test.uint16"), 60000);
  EXPECT_EQ(integer("test.int16"), -30000);
  EXPECT_EQ(integer("test.uint32"), 4000000000);
  EXPECT_EQ(integer("test.int32"), -2000000000);
  EXPECT_EQ(integer("test.int64"), -(int64_t{1} << 62));
  const auto huge = m.integer("test.uint64", 0, INT64_MAX);
  ASSERT_FALSE(huge);
  EXPECT_NE(huge.error().message.find("got the integer 9223372036854775809"), std::string::npos);
  EXPECT_EQ(m.number("test.float32").value(), 0.5);
  EXPECT_EQ(m.number("test.float64").value(), 0.1);
  EXPECT_EQ(m.boolean("test.bool").value(), true);
  EXPECT_EQ(m.string("test.string").value(), "größer als 0");
  EXPECT_EQ(m.strings("test.strings").value(), (std::vector<std::string_view>{"a", "", "b c"}));
  EXPECT_EQ(m.integers("test.integers").value(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(m.numbers("test.floats").value(), (std::vector<double>{0.25, -1.5}));
  EXPECT_EQ(m.integer("test.absent", 0, 1).value(), std::nullopt);
}

TEST(Gguf, BlocksEqualTheGgufPackage) {
  const auto file = MappedFile::open(kGolden / "gguf/blocks.gguf").value();
  const GgufFile gguf = parse_gguf(file->bytes(), file, "blocks.gguf").value();
  SafetensorsFile values = open_safetensors(kGolden / "gguf/blocks.safetensors").value();
  const auto expected = make_weight_source(std::move(values.tensors)).value();
  ASSERT_EQ(gguf.tensors.size(), expected->tensors().size());
  for (const GgufTensor& tensor : gguf.tensors) {
    const Tensor stored{tensor.dtype, tensor.shape, tensor.bytes, file};
    const Tensor want = expected->read(tensor.name).value();
    EXPECT_EQ(tensor.shape, want.shape) << tensor.name;
    EXPECT_EQ(dequantize(stored).value(), dequantize(want).value()) << tensor.name;
  }
}

TEST(Gguf, Stories260KEqualsItsHuggingFaceForm) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const fs::path folder = *data / "models/stories260K";
  const auto original = open_checkpoint(folder / "hf-f32").value();
  for (const char* name : {"stories260K-F32.gguf", "stories260K.bin"}) {
    const auto checkpoint = open_checkpoint(folder / name);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    expect_same_tensors(*checkpoint->weights, *original.weights);
    Json config = checkpoint->config;
    if (checkpoint->format == "gguf") config.erase("tie_word_embeddings");  // it stores both
    expect_same_config(config, original.config);
  }
  const auto halves = open_checkpoint(folder / "stories260K-F16.gguf").value();
  const auto original16 = open_checkpoint(folder / "hf-f16").value();
  for (const TensorInfo& info : halves.weights->tensors()) {
    if (info.dtype != DType::f16 || info.name == "lm_head.weight") continue;
    EXPECT_EQ(dequantize(halves.weights->read(info.name).value()).value(),
              dequantize(original16.weights->read(info.name).value()).value())
        << info.name;
  }
}

TEST(Gguf, Q8OfStories260KIsWithinItsRounding) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const auto q8 = open_checkpoint(*data / "models/stories260K/stories260K-Q8_0.gguf").value();
  const auto original = open_checkpoint(*data / "models/stories260K/hf-f32").value();
  for (const TensorInfo& info : original.weights->tensors()) {
    const std::vector<float> want = dequantize(original.weights->read(info.name).value()).value();
    const std::vector<float> got = dequantize(q8.weights->read(info.name).value()).value();
    float largest = 0;
    for (const float value : want) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < want.size(); ++i) {
      // Half a step, and the scale's rounding to fp16 carried to the 127th step (127 / 2048).
      EXPECT_NEAR(got[i], want[i], largest / 127 * 0.5625f) << info.name << " " << i;
    }
  }
}

TEST(Gguf, VocabularyFilesHoldOnlyATokenizer) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const auto checkpoint = open_checkpoint(*data / "vocab-gguf/gpt-2.gguf");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_TRUE(checkpoint->config.is_null());
  EXPECT_TRUE(checkpoint->weights->tensors().empty());
  EXPECT_EQ(checkpoint->gguf_vocab->model, "gpt2");
  EXPECT_EQ(checkpoint->gguf_vocab->tokens.size(), 50257u);
  EXPECT_EQ(checkpoint->gguf_vocab->merges.size(), 50000u);
}

// The keys every model has, for an architecture of the given name.
GgufBuilder base_model(const std::string& arch, uint32_t layers) {
  GgufBuilder file;
  file.add_string("general.architecture", arch);
  file.add_u32(arch + ".block_count", layers);
  file.add_u32(arch + ".context_length", 131072);
  file.add_u32(arch + ".embedding_length", 64);
  file.add_u32(arch + ".feed_forward_length", 96);
  file.add_u32(arch + ".attention.head_count", 4);
  file.add_u32(arch + ".attention.head_count_kv", 2);
  file.add_f32(arch + ".attention.layer_norm_rms_epsilon", 1e-6f);
  file.add_f32(arch + ".rope.freq_base", 500000.0f);
  file.add_f32_tensor("token_embd.weight", {2, 64}, std::vector<float>(128, 0.5f));
  return file;
}

Json config_of(const GgufBuilder& file) {
  const std::string bytes = file.build();
  const auto checkpoint = read_gguf(bytes_of(bytes), nullptr, "x");
  EXPECT_TRUE(checkpoint) << checkpoint.error().message;
  return checkpoint ? checkpoint->config : Json();
}

TEST(GgufConfig, Gemma3HasItsLayersAndBases) {
  GgufBuilder file = base_model("gemma3", 7);
  file.add_u32("gemma3.attention.key_length", 32);
  file.add_u32("gemma3.attention.value_length", 32);
  file.add_u32("gemma3.attention.sliding_window", 512);
  file.add_string("gemma3.rope.scaling.type", "linear");
  file.add_f32("gemma3.rope.scaling.factor", 8.0f);
  const Json config = config_of(file);
  EXPECT_EQ(config["model_type"], "gemma3_text");
  EXPECT_EQ(config["head_dim"], 32);
  EXPECT_EQ(config["query_pre_attn_scalar"], 32);
  EXPECT_EQ(config["sliding_window"], 512);
  EXPECT_EQ(config["rope_local_base_freq"], 10000.0);
  EXPECT_EQ(config["rope_scaling"], (Json{{"rope_type", "linear"}, {"factor", 8.0}}));
  EXPECT_EQ(config["hidden_activation"], "gelu_pytorch_tanh");
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_EQ(
      config["layer_types"],
      (Json{"sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
            "sliding_attention", "full_attention", "sliding_attention"}));
}

TEST(GgufConfig, Gemma2HasSoftcaps) {
  GgufBuilder file = base_model("gemma2", 2);
  file.add_f32("gemma2.attn_logit_softcapping", 50.0f);
  file.add_f32("gemma2.final_logit_softcapping", 30.0f);
  file.add_u32("gemma2.attention.sliding_window", 4096);
  const Json config = config_of(file);
  EXPECT_EQ(config["attn_logit_softcapping"], 50.0);
  EXPECT_EQ(config["final_logit_softcapping"], 30.0);
  EXPECT_EQ(config["layer_types"], (Json{"sliding_attention", "full_attention"}));
}

TEST(GgufConfig, Qwen3MoeHasItsExperts) {
  GgufBuilder file = base_model("qwen3moe", 2);
  file.add_u32("qwen3moe.expert_count", 8);
  file.add_u32("qwen3moe.expert_used_count", 3);
  file.add_u32("qwen3moe.expert_feed_forward_length", 24);
  const Json config = config_of(file);
  EXPECT_EQ(config["model_type"], "qwen3_moe");
  EXPECT_EQ(config["num_experts"], 8);
  EXPECT_EQ(config["num_experts_per_tok"], 3);
  EXPECT_EQ(config["moe_intermediate_size"], 24);
  EXPECT_EQ(config["norm_topk_prob"], true);
}

TEST(GgufConfig, Phi3HasLongropeAndPartialRotation) {
  GgufBuilder file = base_model("phi3", 1);
  file.add_u32("phi3.rope.dimension_count", 8);
  file.add_u32("phi3.rope.scaling.original_context_length", 4096);
  file.add_f32("phi3.rope.scaling.attn_factor", 1.19f);
  file.add_u32("phi3.attention.sliding_window", 2047);
  file.add_f32_tensor("rope_factors_long.weight", {4}, {1.0f, 2.5f, 30.1f, 64.0f});
  file.add_f32_tensor("rope_factors_short.weight", {4}, {1.0f, 1.1f, 1.2f, 2.0f});
  const Json config = config_of(file);
  EXPECT_EQ(config["partial_rotary_factor"], 0.5);
  EXPECT_EQ(config["sliding_window"], 2047);
  EXPECT_EQ(config["original_max_position_embeddings"], 4096);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "longrope");
  EXPECT_EQ(config["rope_scaling"]["long_factor"], (Json{1.0, 2.5, 30.1, 64.0}));
  EXPECT_EQ(config["rope_scaling"]["short_factor"], (Json{1.0, 1.1, 1.2, 2.0}));
  EXPECT_EQ(config["rope_scaling"]["attention_factor"], 1.19);
}

TEST(GgufConfig, YarnAndTheLlamaVariants) {
  GgufBuilder file = base_model("llama", 1);
  EXPECT_EQ(config_of(file)["model_type"], "llama");
  file.add_string("llama.rope.scaling.type", "yarn");
  file.add_f32("llama.rope.scaling.factor", 4.0f);
  file.add_u32("llama.rope.scaling.original_context_length", 32768);
  EXPECT_EQ(
      config_of(file)["rope_scaling"],
      (Json{{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}}));
  file.add_u32("llama.attention.sliding_window", 4096);
  EXPECT_EQ(config_of(file)["model_type"], "mistral");
  file.add_u32("llama.expert_count", 8);
  file.add_u32("llama.expert_used_count", 2);
  const Json config = config_of(file);
  EXPECT_EQ(config["model_type"], "mixtral");
  EXPECT_EQ(config["num_local_experts"], 8);
}

// Factors as Hugging Face's llama3 rule gives them, written out from its published definition.
std::vector<float> llama3_factors(double factor, double low, double high, double context) {
  std::vector<float> factors;
  for (int i = 0; i < 8; ++i) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, i / 8.0);
    const double smooth = (context / wavelength - low) / (high - low);
    const double scale = wavelength < context / high  ? 1.0
                         : wavelength > context / low ? 1.0 / factor
                                                      : (1 - smooth) / factor + smooth;
    factors.push_back(static_cast<float>(1.0 / scale));
  }
  return factors;
}

TEST(GgufConfig, Llama3ScalingIsRecognisedFromItsFactors) {
  for (const double factor : {8.0, 32.0}) {
    GgufBuilder file = base_model("llama", 1);
    file.add_f32_tensor("rope_freqs.weight", {8}, llama3_factors(factor, 1, 4, 8192));
    EXPECT_EQ(config_of(file)["rope_scaling"], (Json{{"rope_type", "llama3"},
                                                     {"factor", factor},
                                                     {"low_freq_factor", 1.0},
                                                     {"high_freq_factor", 4.0},
                                                     {"original_max_position_embeddings", 8192}}));
  }
}

TEST(GgufConfig, OtherFactorsAreKeptExactly) {
  GgufBuilder file = base_model("llama", 1);
  const std::vector<float> factors = llama3_factors(8, 1, 2, 4096);
  file.add_f32_tensor("rope_freqs.weight", {8}, factors);
  const Json scaling = config_of(file)["rope_scaling"];
  EXPECT_EQ(scaling["rope_type"], "longrope");
  EXPECT_EQ(scaling["attention_factor"], 1.0);
  EXPECT_EQ(scaling["long_factor"].get<std::vector<float>>(), factors);
  EXPECT_EQ(scaling["short_factor"].get<std::vector<float>>(), factors);
}

TEST(GgufConfig, FactorsThatAreNoDivisorsAreRefused) {
  for (const float factor : {0.0f, -1.0f, INFINITY, NAN}) {
    GgufBuilder file = base_model("llama", 1);
    std::vector<float> factors(8, 1.0f);
    factors[3] = factor;
    file.add_f32_tensor("rope_freqs.weight", {8}, factors);
    const std::string bytes = file.build();
    const auto checkpoint = read_gguf(bytes_of(bytes), nullptr, "x");
    ASSERT_FALSE(checkpoint);
    EXPECT_TRUE(checkpoint.error().message.starts_with("x: tensor rope_freqs.weight: "));
  }
}

std::unique_ptr<WeightSource> weights_of(const std::string& bytes) {
  auto checkpoint = read_gguf(bytes_of(bytes), nullptr, "x");
  EXPECT_TRUE(checkpoint) << checkpoint.error().message;
  return make_weight_source(std::move(checkpoint->tensors)).value();
}

TEST(GgufTensors, GemmaNormsAreStoredPlusOne) {
  GgufBuilder file = base_model("gemma3", 1);
  const std::vector<float> stored(64, 1.25f);
  for (const char* name :
       {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.post_attention_norm.weight",
        "blk.0.ffn_norm.weight", "blk.0.post_ffw_norm.weight"}) {
    file.add_f32_tensor(name, {64}, stored);
  }
  file.add_f32_tensor("blk.0.attn_q_norm.weight", {16}, std::vector<float>(16, 0.5f));
  const std::string bytes = file.build();
  const auto weights = weights_of(bytes);
  for (const char* name : {"model.norm.weight", "model.layers.0.input_layernorm.weight",
                           "model.layers.0.post_attention_layernorm.weight",
                           "model.layers.0.pre_feedforward_layernorm.weight",
                           "model.layers.0.post_feedforward_layernorm.weight"}) {
    EXPECT_EQ(weights->read(name).value().as<float>()[63], 0.25f) << name;
  }
  EXPECT_EQ(weights->read("model.layers.0.self_attn.q_norm.weight").value().as<float>()[0], -0.5f);
  EXPECT_EQ(weights->read("model.embed_tokens.weight").value().as<float>()[0], 0.5f);
}

TEST(GgufTensors, StackedExpertsAreViews) {
  GgufBuilder file = base_model("llama", 1);
  file.add_u32("llama.expert_count", 3);
  file.add_u32("llama.expert_used_count", 2);
  std::vector<float> values(3 * 4 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  file.add_f32_tensor("blk.0.ffn_gate_exps.weight", {3, 4, 64}, values);
  file.add_f32_tensor("blk.0.ffn_down_exps.weight", {3, 64, 4}, values);
  file.add_f32_tensor("blk.0.ffn_gate_inp.weight", {3, 64}, std::vector<float>(192, 1.0f));
  const std::string bytes = file.build();
  const auto weights = weights_of(bytes);
  EXPECT_EQ(weights->tensors().size(), 8u);
  const Tensor w1 = weights->read("model.layers.0.block_sparse_moe.experts.2.w1.weight").value();
  EXPECT_EQ(w1.shape, Shape({4, 64}));
  EXPECT_EQ(w1.as<float>()[0], 512.0f);
  EXPECT_TRUE(w1.bytes.data() > bytes_of(bytes).data() &&
              w1.bytes.data() < bytes_of(bytes).data() + bytes.size());
  EXPECT_EQ(weights->read("model.layers.0.block_sparse_moe.experts.1.w2.weight").value().shape,
            Shape({64, 4}));
}

// A random Hugging Face matrix, reordered as the converter does it, comes back: floats and blocks.
TEST(GgufTensors, RotaryRowsAreRestored) {
  std::mt19937 random(5);
  for (const int type : {0, 1, 8, 2}) {
    const size_t row_bytes = type == 0 ? 256 : type == 1 ? 128 : type == 8 ? 68 : 36;
    const size_t heads = 4;
    const size_t head_rows = 16;
    std::vector<std::string> rows;
    for (size_t i = 0; i < heads * head_rows; ++i) rows.push_back(random_bytes(random, row_bytes));
    std::string stored;
    for (size_t head = 0; head < heads; ++head) {
      for (size_t pair = 0; pair < head_rows / 2; ++pair) {
        stored += rows[head * head_rows + pair];
        stored += rows[head * head_rows + pair + head_rows / 2];
      }
    }
    std::string original;
    for (const std::string& row : rows) original += row;
    GgufBuilder file = base_model("llama", 1);
    file.add_tensor("blk.0.attn_q.weight", {64, 64}, static_cast<uint32_t>(type), stored);
    const std::string bytes = file.build();
    const Tensor query = weights_of(bytes)->read("model.layers.0.self_attn.q_proj.weight").value();
    EXPECT_TRUE(std::ranges::equal(query.bytes, bytes_of(original))) << type;
  }
}

TEST(GgufTensors, Qwen2HasBiasesInPlainOrder) {
  GgufBuilder file = base_model("qwen2", 1);
  std::vector<float> bias(64);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i);
  file.add_f32_tensor("blk.0.attn_q.bias", {64}, bias);
  const std::string bytes = file.build();
  const Tensor read = weights_of(bytes)->read("model.layers.0.self_attn.q_proj.bias").value();
  EXPECT_TRUE(std::ranges::equal(read.as<float>(), bias));
}

}  // namespace
}  // namespace lotse
