// Decode steps as captured graphs: the bits of the same steps run operator by operator, at every
// batch size, and what happens where no graph can be made or a replay fails.
#include <cstdlib>
#include <optional>

#include "chip/profile.h"
#include "device/ascend/ascend_device.h"
#include "tests/device/program_under_test.h"
#include "tests/golden/golden.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

constexpr int64_t kBlock = 128;
// The one operator of this process that the emulator lets fail, in its kFailing-th run; only
// FaultInAReplay has it.
constexpr int kFailing = 4;
const int kRequested =
    ::setenv("LOTSE_EMULATOR_FAULT", ("aclnnTanh:" + std::to_string(kFailing)).c_str(), 1);

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

// Two layers of fused attention; the softcap brings aclnnTanh.
Program decoder(bool has_softcap) {
  constexpr int64_t kColumns = 64;
  constexpr int64_t kHead = 32;
  Ops ops;
  RopeTable table;
  for (int i = 0; i < 16; ++i) {
    table.inverse_frequency.push_back(std::pow(10000.0f, -static_cast<float>(i) / 16));
  }
  const RopeId rope = ops.rope_table(table);
  ValueId x = ops.embed("embed", kVocabulary, kColumns, 1);
  for (int layer = 0; layer < 2; ++layer) {
    ops.begin_layer(layer);
    ValueId h = ops.rms_norm("norm", x, ops.vector({"norm"}, kColumns, 1), 1e-5f);
    const ValueId qkv = ops.linear("qkv", h, ops.matrix({"qkv"}, 4 * kHead, kColumns));
    ops.rms_norm_groups("q_norm", qkv, ops.vector({"q_norm"}, kHead), 1e-6f, 0, 2, kHead);
    ops.rope("rope", qkv, rope, 0, 3, kHead);
    h = ops.attention(qkv, {2, 1, kHead, 0.2f});
    x = ops.add("sum", x, ops.linear("o", h, ops.matrix({"o"}, kColumns, 2 * kHead)));
  }
  ops.begin_layer(kNone);
  x = ops.gather_rows(x);
  const ValueId logits = ops.linear("head", x, ops.matrix({"head"}, kVocabulary, kColumns));
  if (has_softcap) ops.softcap(logits, 20);
  return ops.finish(logits);
}

ExecutionLimits limits_for(int64_t sequences) {
  ExecutionLimits limits;
  limits.max_tokens = 64;
  limits.max_outputs = 64;
  limits.max_sequences = sequences;
  limits.max_context = 300;
  limits.block_tokens = kBlock;
  limits.cache_blocks = 3 * sequences;
  return limits;
}

class AscendGraphs : public testing::Test {
 protected:
  std::unique_ptr<Executable> load(const Program& program, WeightFormat format, int64_t sequences) {
    auto executable =
        device_->load(program, random_weights(program, format, 5), limits_for(sequences));
    EXPECT_TRUE(executable) << executable.error().message;
    return std::move(*executable);
  }

  std::unique_ptr<Device> device_ = make_ascend_device(0).value();
};

// Sequences that advance one token at a time, any of them in any step.
class Sequences {
 public:
  Sequences(Executable& executable, int64_t count, int64_t start) : executable_(executable) {
    for (int64_t s = 0; s < count; ++s) {
      blocks_.push_back({static_cast<int32_t>(3 * s + 2), static_cast<int32_t>(3 * s),
                         static_cast<int32_t>(3 * s + 1)});
      contexts_.push_back(static_cast<int32_t>(start));
    }
  }

  Result<std::vector<float>> step(const std::vector<size_t>& chosen) {
    std::vector<int32_t> tokens, positions, rows;
    std::vector<BatchSequence> batch;
    for (const size_t s : chosen) {
      const auto row = static_cast<int32_t>(batch.size());
      const int32_t position = contexts_[s]++;
      tokens.push_back((position * 31 + static_cast<int32_t>(s) * 7) % kVocabulary);
      positions.push_back(position);
      rows.push_back(row);
      batch.push_back({row, 1, position + 1, blocks_[s]});
    }
    const auto logits = LOTSE_TRY(executable_.run({tokens, positions, batch, rows}));
    return std::vector<float>(logits.begin(), logits.end());
  }

 private:
  Executable& executable_;
  std::vector<std::vector<int32_t>> blocks_;
  std::vector<int32_t> contexts_;
};

TEST_F(AscendGraphs, BatchesOfEverySizeHaveTheBitsOfEagerSteps) {
  // Five sequences from position 120 on, so that all come to a second block.
  const std::vector<std::vector<size_t>> schedule = {{0},
                                                     {0},
                                                     {0},
                                                     {0, 1, 2},
                                                     {2, 1, 3},
                                                     {0, 1, 2, 3},
                                                     {4},
                                                     {0, 1, 2, 3, 4},
                                                     {4, 3, 2, 1, 0},
                                                     {0, 1, 2, 3, 4},
                                                     {1, 3},
                                                     {3, 1},
                                                     {1},
                                                     {0, 4},
                                                     {2, 3, 4},
                                                     {0, 1, 2, 3},
                                                     {0, 1, 2, 3, 4},
                                                     {0, 1, 2, 3, 4},
                                                     {0, 1, 2, 3, 4},
                                                     {4},
                                                     {0},
                                                     {1, 2, 3}};
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::w8a8}) {
    const auto captured = load(decoder(false), format, 5);
    const Variable off("LOTSE_ASCEND_GRAPHS", "off");
    const auto eager = load(decoder(false), format, 5);
    Sequences first(*captured, 5, 120), second(*eager, 5, 120);
    for (size_t i = 0; i < schedule.size(); ++i) {
      const auto actual = first.step(schedule[i]);
      const auto expected = second.step(schedule[i]);
      ASSERT_TRUE(actual) << actual.error().message;
      ASSERT_TRUE(expected) << expected.error().message;
      ASSERT_EQ(*actual, *expected) << "step " << i;
    }
    EXPECT_EQ(captured->steps().all, std::ssize(schedule));
    EXPECT_GE(captured->steps().replayed, 12);
    EXPECT_EQ(captured->steps().why_not, "");
    EXPECT_EQ(eager->steps().replayed, 0);
    EXPECT_EQ(eager->steps().why_not, "LOTSE_ASCEND_GRAPHS is off");
  }
}

// Up to the last position of the context, where no step can come after.
TEST_F(AscendGraphs, TheWholeContextIsDecoded) {
  const auto captured = load(decoder(false), WeightFormat::bf16, 1);
  const Variable off("LOTSE_ASCEND_GRAPHS", "off");
  const auto eager = load(decoder(false), WeightFormat::bf16, 1);
  const int64_t last = limits_for(1).max_context;
  Sequences first(*captured, 1, last - 6), second(*eager, 1, last - 6);
  for (int i = 0; i < 6; ++i) ASSERT_EQ(first.step({0}).value(), second.step({0}).value());
  EXPECT_EQ(captured->steps().replayed, 5);
}

// Steps of many tokens between decode steps make working memory move.
TEST_F(AscendGraphs, LargerStepsBetweenReplaysAreSeen) {
  const auto executable = load(decoder(false), WeightFormat::w8a8, 2);
  const Variable off("LOTSE_ASCEND_GRAPHS", "off");
  const auto eager = load(decoder(false), WeightFormat::w8a8, 2);
  Sequences first(*executable, 2, 0), second(*eager, 2, 0);
  for (int i = 0; i < 12; ++i) {
    ASSERT_EQ(first.step({0}).value(), second.step({0}).value());
    if (i % 4 != 3) continue;
    const std::vector<int32_t> tokens(static_cast<size_t>(16 * (i / 4 + 1)), 3);
    std::vector<int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<int32_t> blocks = {5, 4}, rows = {0};
    const auto count = static_cast<int32_t>(tokens.size());
    const BatchSequence sequence{0, count, count, blocks};
    for (Executable* each : {executable.get(), eager.get()}) {
      ASSERT_TRUE(each->run({tokens, positions, {&sequence, 1}, rows}));
    }
  }
  EXPECT_EQ(executable->steps().replayed, 11);
}

TEST_F(AscendGraphs, WhatCannotBeCapturedSaysWhy) {
  const Program composed = decoder(false);
  ExecutionLimits limits = limits_for(1);
  limits.cache_type = DType::f32;
  const auto wide = device_->load(composed, random_weights(composed, WeightFormat::f32, 1), limits);
  ASSERT_TRUE(wide);
  EXPECT_NE((*wide)->steps().why_not.find("is composed"), std::string::npos);
}

TEST_F(AscendGraphs, WithoutStreamResourcesStepsGoOnEagerly) {
  const Variable few("LOTSE_EMULATOR_GRAPH_TASKS", "3");
  const auto limited = load(decoder(false), WeightFormat::bf16, 1);
  const Variable off("LOTSE_ASCEND_GRAPHS", "off");
  const auto eager = load(decoder(false), WeightFormat::bf16, 1);
  Sequences first(*limited, 1, 0), second(*eager, 1, 0);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 6; ++i) ASSERT_EQ(first.step({0}).value(), second.step({0}).value());
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("207008"), std::string::npos) << warning;
  EXPECT_EQ(warning.find("lotse:"), warning.rfind("lotse:")) << warning;
  EXPECT_EQ(limited->steps().replayed, 0);
  EXPECT_NE(limited->steps().why_not.find("207008"), std::string::npos);
}

TEST_F(AscendGraphs, FaultInAReplayIsAnErrorAndAnotherLoadGoesOn) {
  ASSERT_EQ(kRequested, 0);
  const auto executable = load(decoder(true), WeightFormat::bf16, 1);
  Sequences sequences(*executable, 1, 0);
  for (int i = 1; i < kFailing; ++i) ASSERT_TRUE(sequences.step({0})) << i;
  EXPECT_EQ(executable->steps().replayed, kFailing - 2);
  const auto failed = sequences.step({0});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("aclnnTanh"), std::string::npos) << failed.error().message;
  const auto again = load(decoder(true), WeightFormat::bf16, 1);
  Sequences others(*again, 1, 0);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(others.step({0}));
}

// 256 tokens of models, with graphs and without.
class AscendGraphTokens : public AscendGraphs {
 protected:
  void expect_equal(const Model& model, std::span<const int32_t> prompt) {
    const int64_t vocabulary = model.config.vocabulary;
    Runner captured(*device_, model, DType::bf16, std::ssize(prompt), kBlock);
    const Variable off("LOTSE_ASCEND_GRAPHS", "off");
    Runner eager(*device_, model, DType::bf16, std::ssize(prompt), kBlock);
    EXPECT_EQ(captured.greedy(prompt, 256, vocabulary), eager.greedy(prompt, 256, vocabulary));
    EXPECT_EQ(captured.executable().steps().replayed, 254) << captured.executable().steps().why_not;
    EXPECT_EQ(eager.executable().steps().replayed, 0);
  }

  static Model ported(const fs::path& folder, int64_t context) {
    const ScratchFolder scratch;
    PortRequest request;
    request.model = folder;
    request.out = scratch.path() / "ported";
    request.options.quant = WeightFormat::w8a8;
    EXPECT_TRUE(port_model(request, load_chip("ascend-910b3").value()));
    return load_model(open_checkpoint(request.out).value(), context).value();
  }
};

TEST_F(AscendGraphTokens, LotseNano) {
  const fs::path nano = fs::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";
  const std::vector<int32_t> prompt = {5, 300, 17, 42, 1000, 7};
  expect_equal(load_model(open_checkpoint(nano).value(), 512).value(), prompt);
  expect_equal(ported(nano, 512), prompt);
}

class AscendGraphFamilies : public AscendGraphTokens,
                            public testing::WithParamInterface<const char*> {};

// A dense family, one with norms of queries and keys, and a mixture of experts.
INSTANTIATE_TEST_SUITE_P(Golden, AscendGraphFamilies,
                         testing::Values("llama", "qwen3", "qwen3_moe"),
                         [](const auto& instance) { return std::string(instance.param); });

// After a step that a graph replayed, too, the hidden states are those that its logits came from.
TEST_P(AscendGraphFamilies, HaveTheSameHiddenStates) {
  const fs::path folder = kGolden / GetParam();
  const Golden golden = read_golden(folder / "golden.safetensors");
  Model model = load_model(open_checkpoint(folder).value(), 256).value();
  narrow_to_bf16(model.weights, model.program);
  const auto device = make_ascend_device(0).value();
  const int64_t tokens = std::ssize(golden.prompt);
  Runner replayed(*device, model, DType::bf16, tokens, kBlock);
  Runner stepped(*device, model, DType::bf16, tokens, kBlock);
  replayed.step(golden.prompt);
  stepped.hidden_step(golden.prompt);
  for (const int32_t token : std::span(golden.greedy).first(8)) {
    replayed.step({&token, 1});
    const auto expected = stepped.hidden_step({&token, 1});
    EXPECT_TRUE(std::ranges::equal(replayed.executable().last_hidden().value(), expected));
  }
  EXPECT_GT(replayed.executable().steps().replayed, 0);
  EXPECT_EQ(stepped.executable().steps().replayed, 0);
}

TEST_P(AscendGraphFamilies, GiveTheSameTokens) {
  const fs::path folder = kGolden / GetParam();
  const Golden golden = read_golden(folder / "golden.safetensors");
  Model model = load_model(open_checkpoint(folder).value(), 0).value();
  narrow_to_bf16(model.weights, model.program);
  expect_equal(model, golden.prompt);
  expect_equal(ported(folder, model.context), golden.prompt);
}

}  // namespace
}  // namespace lotse
