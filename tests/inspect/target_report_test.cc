#include "inspect/target_report.h"

#include <gtest/gtest.h>

#include <set>

#include "scratch.h"

namespace lotse {
namespace {

ModelFacts real(const std::string& name) {
  const std::string data = std::getenv("LOTSE_TEST_DATA");
  return examine_model(data + "/configs/" + name + "/config.json").value();
}

TargetReport judge(const ModelFacts& model, const std::string& chip, const InspectLoad& load = {}) {
  return judge_target(model, load_chip(chip).value(), load);
}

#define LOTSE_NEED_DATA() \
  if (!std::getenv("LOTSE_TEST_DATA")) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is unset"

// Every golden family on every chip: each operator in exactly one row, with a full answer.
TEST(TargetReport, EveryFamilyHasAFullAnswerOnEveryChip) {
  std::set<std::string> families;
  for (const std::string name : {"llama3_bf16", "mistral", "qwen2", "qwen3", "qwen3_moe", "phi3",
                                 "gemma2", "gemma3", "olmo2", "mixtral"}) {
    const ModelFacts model = examine_model(golden(name)).value();
    families.insert(model.family);
    for (const std::string& chip : chip_names()) {
      const TargetReport report = judge(model, chip);
      int64_t operators = 0;
      for (const OperatorReport& op : report.operators) {
        operators += op.row.count;
        EXPECT_FALSE(op.row.support.how.empty() && op.row.support.from.empty()) << op.row.name;
      }
      EXPECT_EQ(operators, std::ssize(model.program.ops));
      EXPECT_TRUE(report.supported) << name << " " << chip;
      EXPECT_EQ(report.chips, 1);
      EXPECT_TRUE(report.fits);
      EXPECT_FALSE(report.verdict.empty());
      EXPECT_NE(report.speed.has_value(), !report.no_speed.empty());
    }
  }
  EXPECT_EQ(families.size(), 10U);
}

// Real configurations: a full answer on every chip, or an error that names what is supported.
TEST(TargetReport, RealConfigurationsAreAnsweredOrRefusedClearly) {
  LOTSE_NEED_DATA();
  int64_t answered = 0;
  const std::string folder = std::string(std::getenv("LOTSE_TEST_DATA")) + "/configs";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto model = examine_model(entry.path() / "config.json");
    if (!model) {
      EXPECT_EQ(model.error().code, ErrorCode::unsupported) << model.error().message;
      const std::string& message = model.error().message;
      EXPECT_TRUE(message.find("supported are llama, mistral") != std::string::npos ||
                  message.find("Lotse reads unquantised weights") != std::string::npos)
          << message;
      continue;
    }
    ++answered;
    for (const std::string& chip : chip_names()) {
      const TargetReport report = judge(*model, chip);
      EXPECT_TRUE(report.supported) << entry.path() << " " << chip;
      EXPECT_TRUE(report.chips || chip == "cpu") << entry.path() << " " << chip;
      EXPECT_NE(report.speed.has_value(), !report.no_speed.empty());
    }
  }
  EXPECT_GE(answered, 15);
}

TEST(TargetReport, MemoryIsWeightsCacheAndWorkingValues) {
  const ModelFacts model = examine_model(golden("llama3_bf16")).value();
  const MemoryNeed one = memory_need(model.program, model.storage, 64, 1);
  const MemoryNeed four = memory_need(model.program, model.storage, 64, 4);
  EXPECT_EQ(one.weights, weight_bytes(model.storage));
  const ModelConfig& c = model.config;
  EXPECT_EQ(one.cache, 64.0 * 2 * 2 * static_cast<double>(c.layers * c.kv_heads * c.head_dim));
  EXPECT_EQ(four.cache, 4 * one.cache);
  EXPECT_GT(one.working, 0);
}

// Known sizes: 8.19 B parameters in BF16 are 16.4 GB; a position takes 144 KiB.
TEST(TargetReport, Qwen3On910B4) {
  LOTSE_NEED_DATA();
  const ModelFacts model = real("Qwen--Qwen3-8B");
  EXPECT_NEAR(weight_bytes(model.storage), 16.4e9, 0.1e9);
  EXPECT_EQ(kv_bytes_per_token(model.program, "bf16"), 144 * 1024);
  const TargetReport one = judge(model, "ascend-910b4");
  EXPECT_TRUE(one.supported);
  EXPECT_FALSE(one.needs_port);
  EXPECT_EQ(one.chips, 1);
  EXPECT_NE(one.verdict.find("as it is"), std::string::npos);
  // 32 sequences of 8192: 38.7 GB of cache beside 16.4 GB of weights, 28.8 GB usable a chip.
  const TargetReport many = judge(model, "ascend-910b4", {8192, 32, ""});
  EXPECT_EQ(many.chips, 2);
  EXPECT_FALSE(many.fits);
  EXPECT_NEAR(many.need.cache, 38.65e9, 0.01e9);
  const TargetReport small = judge(model, "ascend-910b4", {4096, 1, "w4a16"});
  EXPECT_TRUE(small.needs_port);
  EXPECT_LT(small.need.weights, 0.5 * one.need.weights);
  EXPECT_NE(small.verdict.find("--quant w4a16"), std::string::npos);
}

TEST(TargetReport, Fp8NeedsAPortOnlyWhereTheChipHasNoFp8) {
  LOTSE_NEED_DATA();
  const ModelFacts model = real("Qwen--Qwen3-32B-FP8");
  const TargetReport ascend = judge(model, "ascend-910c");
  EXPECT_TRUE(ascend.needs_port);
  EXPECT_EQ(main_format(ascend.storage), "w8a8");
  EXPECT_EQ(ascend.chips, 1);
  EXPECT_NE(ascend.verdict.find("`lotse port --target ascend-910c --quant w8a8`"),
            std::string::npos);
  EXPECT_FALSE(judge(model, "h20").needs_port);
  EXPECT_EQ(main_format(judge(model, "ascend-910c", {4096, 1, "bf16"}).storage), "bf16");
}

// The 405B model in BF16 is 811 GB: 32 chips of 28.8 GB, 16 of 57.6, and half as many 910C.
TEST(TargetReport, ChipsCountPackages) {
  LOTSE_NEED_DATA();
  const ModelFacts model = real("meta-llama--Meta-Llama-3.1-405B");
  EXPECT_EQ(judge(model, "ascend-910b4").chips, 32);
  EXPECT_EQ(judge(model, "ascend-910b2").chips, 16);
  EXPECT_EQ(judge(model, "ascend-910c").chips, 8);
  EXPECT_EQ(judge(model, "h200").chips, 8);
}

TEST(TargetReport, The310PConvertsToFp16) {
  const TargetReport report = judge(examine_model(golden("llama3_bf16")).value(), "ascend-310p");
  EXPECT_TRUE(report.needs_port);
  EXPECT_EQ(report.storage.activation, "f16");
  EXPECT_EQ(report.storage.kv, "f16");
  for (const WeightStorage& weight : report.storage.weights) EXPECT_NE(weight.format, "bf16");
}

TEST(TargetReport, GgufRunsOnTheCpuWithoutAPort) {
  for (const auto& entry : std::filesystem::directory_iterator(golden("gguf"))) {
    if (entry.path().extension() != ".gguf") continue;
    const auto model = examine_model(entry.path());
    if (!model) continue;
    const TargetReport report = judge(*model, "cpu");
    EXPECT_TRUE(report.supported) << entry.path();
    EXPECT_FALSE(report.needs_port) << entry.path();
  }
}

TEST(TargetReport, WhatIsMissingIsNamed) {
  ModelFacts model = examine_model(golden("llama3_bf16")).value();
  quantise(model.storage, model.program, "mxfp4", 0);
  const TargetReport report = judge(model, "ascend-910b1");
  EXPECT_FALSE(report.supported);
  EXPECT_FALSE(report.fits);
  EXPECT_FALSE(report.chips);
  EXPECT_FALSE(report.speed);
  EXPECT_NE(report.verdict.find("cannot run on Huawei Ascend 910B1: missing linear (the chip has "
                                "no FP4"),
            std::string::npos)
      << report.verdict;
}

TEST(TargetReport, SpeedFollowsFromTheWeightsThatAreRead) {
  LOTSE_NEED_DATA();
  const ModelFacts model = real("Qwen--Qwen3-8B");
  const TargetReport report = judge(model, "h200");
  ASSERT_TRUE(report.speed);
  // All weights but the embedding table, once a token, at 0.9 of 4.8 TB/s.
  const double bytes = weight_bytes(model.storage) - 151936.0 * 4096 * 2;
  EXPECT_GT(report.speed->decode_step, bytes / (0.9 * 4.8e12));
  EXPECT_LT(report.speed->decode_step, 1.3 * bytes / (0.9 * 4.8e12));
  double sum = 0;
  for (const OperatorReport& op : report.operators) sum += op.seconds;
  EXPECT_NEAR(sum, report.speed->decode_step, 1e-9);
}

}  // namespace
}  // namespace lotse
