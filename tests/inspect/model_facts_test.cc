#include "inspect/model_facts.h"

#include <gtest/gtest.h>

#include <set>

#include "scratch.h"

namespace lotse {
namespace {

std::set<std::string> formats_of(const ModelFacts& model, WeightRole role) {
  std::set<std::string> formats;
  for (size_t i = 0; i < model.program.weights.size(); ++i) {
    if (model.program.weights[i].role == role) formats.insert(model.storage.weights[i].format);
  }
  return formats;
}

using Formats = std::set<std::string>;

TEST(ModelFacts, ReadsTheGoldenCheckpoints) {
  const ModelFacts model = examine_model(golden("llama3_bf16")).value();
  EXPECT_EQ(model.family, "Llama 2, 3 and 3.x");
  EXPECT_TRUE(model.has_weights);
  EXPECT_EQ(main_format(model.storage), "bf16");
  EXPECT_EQ(model.storage.activation, "bf16");
  EXPECT_EQ(model.tensors, std::ssize(model.checkpoint.weights->tensors()));
  // What the walk takes for stored is what the files hold; tied embeddings are counted twice.
  const int64_t tied =
      model.config.tied_embeddings ? model.config.vocabulary * model.config.hidden * 2 : 0;
  EXPECT_EQ(static_cast<int64_t>(weight_bytes(model.storage)), model.stored_bytes + tied);
}

// By the weights and by the configuration alone: the same answer.
TEST(ModelFacts, AConfigurationAloneTellsTheSame) {
  for (const std::string name : {"llama3_bf16", "qwen3", "qwen3_moe", "gemma2", "phi3", "olmo2"}) {
    const ModelFacts whole = examine_model(golden(name)).value();
    const ModelFacts alone = examine_model(golden(name) / "config.json").value();
    EXPECT_FALSE(alone.has_weights);
    EXPECT_EQ(parameter_count(whole.program), parameter_count(alone.program)) << name;
    EXPECT_EQ(whole.program.ops.size(), alone.program.ops.size()) << name;
  }
}

TEST(ModelFacts, Fp8IsToldApartByItsScales) {
  for (const std::string scales : {"block", "channel", "tensor"}) {
    const Scratch scratch;
    scratch.write_fp8_llama(scales);
    const ModelFacts model = examine_model(scratch.path()).value();
    EXPECT_EQ(formats_of(model, WeightRole::table), Formats{"bf16"});
    EXPECT_TRUE(formats_of(model, WeightRole::matrix).contains("fp8_" + scales)) << scales;
    if (scales == "channel") continue;  // the configuration does not say
    const ModelFacts alone = examine_model(scratch.path() / "config.json").value();
    EXPECT_TRUE(formats_of(alone, WeightRole::matrix).contains("fp8_" + scales)) << scales;
  }
}

TEST(ModelFacts, GgufBlocksKeepTheirNames) {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(golden("gguf"))) {
    if (entry.path().extension() != ".gguf") continue;
    const auto model = examine_model(entry.path());
    if (!model) continue;  // files of single tensors, made for other tests
    seen.insert(main_format(model->storage));
    EXPECT_EQ(model->storage.activation, "f16");
  }
  EXPECT_FALSE(seen.empty());
}

Json llama_config() { return open_checkpoint(golden("llama3_bf16") / "config.json")->config; }

// The formats of the linears that a quantization_config names.
Result<std::string> by_config(const Json& quantisation) {
  const Scratch scratch;
  Json config = llama_config();
  config["quantization_config"] = quantisation;
  scratch.write("config.json", config.dump());
  const auto model = examine_model(scratch.path() / "config.json");
  if (!model) return std::unexpected(model.error());
  for (const Op& op : model->program.ops) {
    const auto* linear = std::get_if<Linear>(&op.operation);
    if (linear) return model->storage.weights[static_cast<size_t>(linear->weight)].format;
  }
  return std::string();
}

Json compressed(const std::string& format, const Json& weights, const Json& inputs) {
  const Json group = {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", inputs}};
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"config_groups", {{"group_0", group}}}};
}

TEST(ModelFacts, QuantisationByConfiguration) {
  const Json int8 = {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}};
  const Json token = {{"num_bits", 8}, {"type", "int"}, {"strategy", "token"}, {"dynamic", true}};
  const Json int4 = {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 64}};
  const Json fp8 = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
  EXPECT_EQ(by_config(compressed("int-quantized", int8, token)).value(), "w8a8");
  EXPECT_EQ(by_config(compressed("pack-quantized", int4, nullptr)).value(), "w4a16");
  EXPECT_EQ(by_config(compressed("pack-quantized", int4, token)).value(), "w4a8");
  EXPECT_EQ(by_config(compressed("float-quantized", fp8, token)).value(), "fp8_channel");
  EXPECT_EQ(by_config({{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}}).value(),
            "fp8_block");
  for (const std::string method : {"gptq", "awq", "bitsandbytes", "mxfp4", "nonsense", ""}) {
    const auto unknown = by_config({{"quant_method", method}});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::unsupported);
    EXPECT_NE(unknown.error().message.find("config.json: quantization_config: field "
                                           "\"quant_method\": \"" +
                                           method + "\" is not supported: Lotse reads"),
              std::string::npos)
        << unknown.error().message;
  }
}

TEST(ModelFacts, ModelOptKeepsItsQuantisationBeside) {
  const Scratch scratch;
  scratch.write("config.json", llama_config().dump());
  scratch.write("hf_quant_config.json", R"({"quantization": {"quant_algo": "FP8"}})");
  const ModelFacts model = examine_model(scratch.path() / "config.json").value();
  EXPECT_TRUE(formats_of(model, WeightRole::matrix).contains("fp8_tensor"));
  scratch.write("hf_quant_config.json", R"({"quantization": {"quant_algo": "NVFP4"}})");
  const auto unknown = examine_model(scratch.path() / "config.json");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("quant_algo \"NVFP4\" is not supported"),
            std::string::npos);
  for (const char* text : {"[]", "3", "null", R"({"quantization": 3})"}) {
    scratch.write("hf_quant_config.json", text);
    EXPECT_FALSE(examine_model(scratch.path() / "config.json")) << text;
  }
}

TEST(ModelFacts, UnknownFamiliesNameTheSupportedOnes) {
  const Scratch scratch;
  Json config = llama_config();
  config["model_type"] = "qwen9";
  scratch.write("config.json", config.dump());
  const auto unknown = examine_model(scratch.path() / "config.json");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::unsupported);
  EXPECT_NE(unknown.error().message.find("\"qwen9\""), std::string::npos);
  EXPECT_NE(unknown.error().message.find("llama, mistral, qwen2"), std::string::npos);
  EXPECT_NE(unknown.error().message.find("closest"), std::string::npos);
}

}  // namespace
}  // namespace lotse
