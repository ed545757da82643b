// LoRA adapters against PEFT, alone and among sequences that use others or none.
#include "model/adapter.h"

#include <fstream>

#include "base/json.h"
#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

const fs::path kAdapters = kGolden / "adapters";

struct AdapterGolden {
  std::vector<int32_t> tokens;
  std::vector<float> logits;
};

AdapterGolden read_adapter_golden(const std::string& name) {
  AdapterGolden golden;
  const SafetensorsFile file = open_safetensors(kAdapters / name / "golden.safetensors").value();
  for (const StoredTensor& tensor : file.tensors) {
    const auto count = static_cast<size_t>(tensor.info.shape.elements().value());
    if (tensor.info.name == "tokens") {
      const auto* ids = reinterpret_cast<const int64_t*>(tensor.bytes.data());
      golden.tokens.assign(ids, ids + count);
    } else {
      const auto* values = reinterpret_cast<const float*>(tensor.bytes.data());
      golden.logits.assign(values, values + count);
    }
  }
  return golden;
}

Model load_base(const std::string& name) {
  return load_model(open_checkpoint(kGolden / name).value()).value();
}

// One step of several sequences, each of its own tokens and adapter; the logits of every token.
std::vector<std::vector<float>> run(Device& device, const Model& model,
                                    const std::vector<std::vector<int32_t>>& sequences,
                                    const std::vector<int32_t>& adapters) {
  constexpr int32_t kBlock = 16;
  std::vector<int32_t> tokens, positions, rows;
  std::vector<std::vector<int32_t>> blocks;
  std::vector<BatchSequence> parts;
  int32_t next_block = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto count = static_cast<int32_t>(sequences[s].size());
    blocks.emplace_back();
    for (int32_t i = 0; i < count; i += kBlock) blocks.back().push_back(next_block++);
    parts.push_back({static_cast<int32_t>(tokens.size()), count, count, {}, adapters[s]});
    for (int32_t i = 0; i < count; ++i) {
      rows.push_back(static_cast<int32_t>(tokens.size()));
      tokens.push_back(sequences[s][static_cast<size_t>(i)]);
      positions.push_back(i);
    }
  }
  for (size_t s = 0; s < parts.size(); ++s) parts[s].blocks = blocks[s];
  ExecutionLimits limits;
  limits.max_tokens = limits.max_outputs = std::ssize(tokens);
  limits.block_tokens = kBlock;
  limits.cache_blocks = next_block;
  limits.cache_type = DType::f32;
  const auto executable = device.load(model.program, model.weights, limits).value();
  const auto logits = executable->run({tokens, positions, parts, rows}).value();
  std::vector<std::vector<float>> result;
  const auto width = static_cast<size_t>(model.config.vocabulary);
  for (const BatchSequence& part : parts) {
    const auto own = logits.subspan(static_cast<size_t>(part.first_token) * width,
                                    static_cast<size_t>(part.tokens) * width);
    result.emplace_back(own.begin(), own.end());
  }
  return result;
}

class AdapterTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Device> device() const {
    return GetParam() == "cpu" ? make_cpu_device(1).value() : make_reference_device();
  }
};

void expect_close(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_LT(relative_rms(actual, expected), 1e-5);
}

TEST_P(AdapterTest, MatchesPeft) {
  for (const std::string name : {"qwen3-small", "qwen3-mixed", "phi3-fused"}) {
    SCOPED_TRACE(name);
    Model model = load_base(name.substr(0, name.find('-')));
    const auto added = add_adapter(model, {name, kAdapters / name});
    ASSERT_TRUE(added) << added.error().message;
    const AdapterGolden golden = read_adapter_golden(name);
    expect_close(run(*device(), model, {golden.tokens}, {1})[0], golden.logits);
  }
}

TEST_P(AdapterTest, NeighboursChangeNoBit) {
  const Model plain = load_base("qwen3");
  Model model = load_base("qwen3");
  ASSERT_TRUE(add_adapter(model, {"a", kAdapters / "qwen3-small"}));
  ASSERT_TRUE(add_adapter(model, {"b", kAdapters / "qwen3-mixed"}));
  const AdapterGolden small = read_adapter_golden("qwen3-small");
  const AdapterGolden mixed = read_adapter_golden("qwen3-mixed");
  const std::vector<int32_t> one(small.tokens.begin(), small.tokens.begin() + 1);
  const auto together =
      run(*device(), model, {one, small.tokens, one, mixed.tokens, small.tokens, one, one},
          {1, 0, 1, 2, 1, 2, 2});
  const auto base = run(*device(), plain, {small.tokens}, {0})[0];
  EXPECT_EQ(together[1], base);
  EXPECT_EQ(together[3], run(*device(), model, {mixed.tokens}, {2})[0]);
  EXPECT_EQ(together[4], run(*device(), model, {small.tokens}, {1})[0]);
  EXPECT_EQ(together[0], together[2]);
  EXPECT_EQ(together[5], together[6]);
  EXPECT_NE(together[0], together[5]);
  expect_close(together[3], mixed.logits);
  expect_close(together[4], small.logits);
}

INSTANTIATE_TEST_SUITE_P(Devices, AdapterTest, testing::Values("reference", "cpu"),
                         [](const auto& instance) { return instance.param; });

// A directory with the small adapter, changed.
class AdapterFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / "lotse_adapter";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    fs::copy_file(kAdapters / "qwen3-small" / "adapter_model.safetensors",
                  directory_ / "adapter_model.safetensors");
    config_ = read_json_file((kAdapters / "qwen3-small" / "adapter_config.json").string()).value();
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string error(const std::string& base = "qwen3") {
    std::ofstream(directory_ / "adapter_config.json") << config_.dump();
    Model model = load_base(base);
    const size_t weights = model.weights.size();
    const auto added = add_adapter(model, {"x", directory_});
    EXPECT_EQ(model.weights.size() == weights, !added);  // a failure changes nothing
    return added ? "" : added.error().message;
  }

  fs::path directory_;
  Json config_;
};

TEST_F(AdapterFilesTest, WhatIsNoPlainLoraIsRefusedByName) {
  EXPECT_EQ(error(), "");
  for (const auto& [field, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"peft_type", "IA3"}, {"use_dora", true}, {"fan_in_fan_out", true}, {"bias", "all"}}) {
    const Json kept = config_[field];
    config_[field] = value;
    const std::string message = error();
    EXPECT_NE(message.find(field), std::string::npos) << message;
    EXPECT_NE(message.find("adapter_config.json"), std::string::npos) << message;
    config_[field] = kept;
  }
  config_["alpha_pattern"] = {{"layers\\..*", 3}};
  EXPECT_NE(error().find("alpha_pattern"), std::string::npos);
}

TEST_F(AdapterFilesTest, AnAdapterOfAnotherModelIsRefusedByTensor) {
  EXPECT_NE(error("phi3").find("lora_A.weight belongs to no linear"), std::string::npos);
  const std::string message = error("llama");
  EXPECT_NE(message.find("base_model.model."), std::string::npos) << message;
}

TEST_F(AdapterFilesTest, FilesThatLackOrLie) {
  fs::resize_file(directory_ / "adapter_model.safetensors", 4000);
  EXPECT_NE(error(), "");
  fs::remove(directory_ / "adapter_model.safetensors");
  EXPECT_NE(error().find("has no adapter_model.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace lotse
