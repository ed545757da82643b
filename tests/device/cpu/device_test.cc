// The whole device: programs with every operator against the reference device, on every instruction
// set, and bit-equality of a sequence's logits whatever is beside it in the batch.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/float_types.h"
#include "device/cpu/executable.h"
#include "device/ops.h"
#include "device/reference/reference_device.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

constexpr int64_t kVocabulary = 97;
constexpr int64_t kHidden = 96;
constexpr int64_t kWidth = 80;
constexpr int64_t kHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kHeadDim = 24;
constexpr int64_t kExperts = 5;

// Two layers, of which the second has a mixture of experts, a window and softcaps.
Program make_program() {
  Ops ops;
  RopeTable table;
  for (int i = 0; i < 8; ++i) {
    table.inverse_frequency.push_back(std::pow(10000.0f, -static_cast<float>(i) / 8));
  }
  const RopeId rope = ops.rope_table(table);
  constexpr int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
  ValueId x = ops.embed("embed", kVocabulary, kHidden, 1.5f);
  for (int layer = 0; layer < 2; ++layer) {
    ops.begin_layer(layer);
    ValueId h = ops.rms_norm("norm", x, ops.vector({"norm"}, kHidden, 1), 1e-5f);
    const ValueId qkv =
        ops.linear("qkv", h, ops.matrix({"qkv"}, kQkv, kHidden), ops.vector({"bias"}, kQkv));
    ops.rms_norm_groups("q_norm", qkv, ops.vector({"q_norm"}, kHeadDim), 1e-6f, 0, kHeads,
                        kHeadDim);
    ops.rope("rope", qkv, rope, 0, kHeads + kKvHeads, kHeadDim, layer == 1);
    h = ops.attention(
        qkv, {kHeads, kKvHeads, kHeadDim, 0.2f, layer == 1 ? 30.0f : 0, layer == 1 ? 11 : 0});
    x = ops.add("add", x, ops.linear("o", h, ops.matrix({"o"}, kHidden, kHeads * kHeadDim)));
    h = ops.rms_norm("norm2", x, ops.vector({"norm2"}, kHidden), 1e-5f);
    if (layer == 0) {
      h = ops.gated_activation(
          ops.linear("gate_up", h, ops.matrix({"gate_up"}, 2 * kWidth, kHidden)),
          Activation::gelu_tanh);
      h = ops.linear("down", h, ops.matrix({"down"}, kHidden, kWidth));
    } else {
      h = ops.moe(h, {ops.matrix({"router"}, kExperts, kHidden),
                      ops.experts({"experts.gate_up"}, kExperts, 2 * kWidth, kHidden),
                      ops.experts({"experts.down"}, kExperts, kHidden, kWidth), kExperts, 2, kWidth,
                      true, Activation::silu});
    }
    x = ops.add("add2", x, h);
  }
  ops.begin_layer(kNone);
  const ValueId logits =
      ops.linear("lm_head", ops.gather_rows(x), ops.matrix({"head"}, kVocabulary, kHidden));
  ops.softcap(logits, 20);
  return ops.finish(logits);
}

WeightPart float_part(int64_t rows, int64_t columns, float deviation, Random& random) {
  return {WeightFormat::f32,
          rows,
          columns,
          make_tensor(DType::f32, {rows, columns}, random.normals(rows * columns, deviation)),
          {}};
}

WeightPart bf16_part(int64_t rows, int64_t columns, float deviation, Random& random) {
  std::vector<uint16_t> values;
  for (const float v : random.normals(rows * columns, deviation)) {
    values.push_back(float_to_bf16(v));
  }
  return {WeightFormat::bf16,
          rows,
          columns,
          make_tensor(DType::bf16, {rows, columns}, std::move(values)),
          {}};
}

WeightPart int8_part(int64_t rows, int64_t columns, Random& random) {
  std::vector<int8_t> values(at(rows * columns));
  for (int8_t& v : values) v = static_cast<int8_t>(random.between(-128, 127));
  std::vector<float> scales(at(rows));
  for (float& s : scales) s = 0.01f / std::sqrt(static_cast<float>(columns));
  return {WeightFormat::w8a8, rows, columns,
          make_tensor(DType::i8, {rows, columns}, std::move(values)),
          make_tensor(DType::f32, {rows}, std::move(scales))};
}

std::vector<Weight> random_weights(const Program& program, WeightFormat format, uint64_t seed) {
  Random random(seed);
  std::vector<Weight> weights;
  for (const WeightDecl& decl : program.weights) {
    Weight weight;
    const int64_t rows = decl.rows / decl.experts;
    const float deviation = 1 / std::sqrt(static_cast<float>(decl.columns));
    // The router stays f32: a rounding that swaps two experts would say nothing about kernels.
    const bool plain = decl.role == WeightRole::vector || decl.sources[0] == "router";
    for (int64_t e = 0; e < decl.experts; ++e) {
      if (plain || format == WeightFormat::f32) {
        weight.parts.push_back(float_part(rows, decl.columns, plain ? 0.5f : deviation, random));
      } else if (format == WeightFormat::bf16 || decl.role == WeightRole::table) {
        weight.parts.push_back(bf16_part(rows, decl.columns, deviation, random));
      } else {
        // Two parts an expert, as q, k and v or gate and up come from checkpoints.
        weight.parts.push_back(int8_part(rows / 2, decl.columns, random));
        weight.parts.push_back(int8_part(rows - rows / 2, decl.columns, random));
      }
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

ExecutionLimits limits_of(DType cache_type) {
  ExecutionLimits limits;
  limits.max_tokens = 128;
  limits.block_tokens = 16;
  limits.cache_type = cache_type;
  return limits;
}

// A prompt and the cache blocks that its sequence may use.
struct Prompt {
  std::vector<int32_t> tokens;
  std::vector<int32_t> blocks;
};

std::vector<Prompt> random_prompts(uint64_t seed) {
  Random random(seed);
  std::vector<Prompt> prompts;
  int32_t block = 0;
  for (const int64_t length : {40, 1, 23}) {
    Prompt prompt;
    for (int64_t i = 0; i < length; ++i) {
      prompt.tokens.push_back(static_cast<int32_t>(random.between(0, kVocabulary - 1)));
    }
    for (int64_t i = 0; i < ceil_div(length, 16); ++i) prompt.blocks.push_back(block++);
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

// The logits of every token, [token][vocabulary] a prompt; all prompts advance together in steps of
// up to `chunk` tokens.
std::vector<std::vector<float>> run_all(Executable& executable, std::span<const Prompt> prompts,
                                        size_t chunk) {
  std::vector<std::vector<float>> logits(prompts.size());
  for (size_t begin = 0;; begin += chunk) {
    std::vector<int32_t> tokens;
    std::vector<int32_t> positions;
    std::vector<int32_t> outputs;
    std::vector<BatchSequence> sequences;
    std::vector<size_t> owners;
    for (size_t p = 0; p < prompts.size(); ++p) {
      const size_t end = std::min(begin + chunk, prompts[p].tokens.size());
      if (begin >= end) continue;
      sequences.push_back({static_cast<int32_t>(tokens.size()), static_cast<int32_t>(end - begin),
                           static_cast<int32_t>(end), prompts[p].blocks});
      for (size_t i = begin; i < end; ++i) {
        outputs.push_back(static_cast<int32_t>(tokens.size()));
        tokens.push_back(prompts[p].tokens[i]);
        positions.push_back(static_cast<int32_t>(i));
        owners.push_back(p);
      }
    }
    if (tokens.empty()) return logits;
    const auto result = executable.run({tokens, positions, sequences, outputs});
    EXPECT_TRUE(result.has_value());
    for (size_t i = 0; i < owners.size(); ++i) {
      const auto row = result->subspan(i * kVocabulary, kVocabulary);
      logits[owners[i]].insert(logits[owners[i]].end(), row.begin(), row.end());
    }
  }
}

using Case = std::tuple<InstructionSet, WeightFormat, DType>;

class CpuDevice : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const InstructionSet& isa = std::get<0>(GetParam());
    if (!isa.missing.empty()) GTEST_SKIP() << "not run: this machine lacks " << isa.missing;
  }
  std::unique_ptr<Executable> load(int threads) const {
    const Program program = make_program();
    ExecutionLimits limits = limits_of(std::get<2>(GetParam()));
    limits.max_outputs = limits.max_tokens;
    auto executable =
        CpuExecutable::load(*std::get<0>(GetParam()).kernels, std::make_shared<ThreadPool>(threads),
                            program, random_weights(program, std::get<1>(GetParam()), 31), limits);
    EXPECT_TRUE(executable.has_value());
    return std::move(*executable);
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, CpuDevice,
                         testing::Combine(testing::ValuesIn(instruction_sets()),
                                          testing::Values(WeightFormat::f32, WeightFormat::bf16,
                                                          WeightFormat::w8a8),
                                          testing::Values(DType::f32, DType::bf16)),
                         [](const testing::TestParamInfo<Case>& instance) {
                           return std::string(std::get<0>(instance.param).kernels->name) + "_" +
                                  std::string(name(std::get<1>(instance.param))) + "_cache_" +
                                  std::string(name(std::get<2>(instance.param)));
                         });

TEST_P(CpuDevice, MatchesTheReferenceDevice) {
  const auto prompts = random_prompts(32);
  const auto executable = load(2);
  const auto actual = run_all(*executable, prompts, 64);
  const Program program = make_program();
  ExecutionLimits limits = limits_of(std::get<2>(GetParam()));
  auto reference = make_reference_device()->load(
      program, random_weights(program, std::get<1>(GetParam()), 31), limits);
  ASSERT_TRUE(reference.has_value());
  const auto expected = run_all(**reference, prompts, 64);
  // A rounding to bf16 or int8 that falls the other way moves a logit by about one step of it.
  const bool exact =
      std::get<1>(GetParam()) == WeightFormat::f32 && std::get<2>(GetParam()) == DType::f32;
  const double tolerance = exact ? 1e-4 : 0.05;
  for (size_t p = 0; p < prompts.size(); ++p) {
    for (size_t i = 0; i < expected[p].size(); ++i) {
      ASSERT_TRUE(near(actual[p][i], expected[p][i], 0, tolerance)) << p << " " << i;
    }
  }
}

TEST_P(CpuDevice, LogitsDoNotDependOnTheBatch) {
  const auto prompts = random_prompts(33);
  const auto whole = run_all(*load(2), prompts, 64);
  for (const size_t chunk : {size_t{1}, size_t{7}, size_t{16}}) {
    const auto cut = run_all(*load(1), prompts, chunk);
    for (size_t p = 0; p < prompts.size(); ++p) {
      ASSERT_EQ(std::memcmp(cut[p].data(), whole[p].data(), cut[p].size() * sizeof(float)), 0)
          << chunk;
    }
  }
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto alone = run_all(*load(3), std::span(prompts).subspan(p, 1), 13);
    ASSERT_EQ(std::memcmp(alone[0].data(), whole[p].data(), alone[0].size() * sizeof(float)), 0);
  }
}

TEST_P(CpuDevice, ObserverSeesAndChangesValues) {
  struct Zero final : Observer {
    std::vector<std::string> names;
    Result<void> on_value(const Op& op, std::span<float> data, int64_t rows,
                          int64_t columns) override {
      EXPECT_EQ(data.size(), at(rows * columns));
      names.push_back(op.name);
      if (op.name == "gather_rows") std::fill(data.begin(), data.end(), 0.0f);
      return {};
    }
  };
  Zero observer;
  const auto executable = load(1);
  executable->observe(&observer);
  const std::vector<Prompt> prompts = {{{1, 2, 3}, {0}}};
  const auto logits = run_all(*executable, prompts, 64);
  EXPECT_EQ(observer.names.size(), make_program().ops.size());
  for (const float v : logits[0]) ASSERT_EQ(v, 0.0f);
}

TEST(CpuDeviceErrors, UnsupportedIsRefusedAtLoad) {
  const Program program = make_program();
  const auto pool = std::make_shared<ThreadPool>(1);
  ExecutionLimits limits;
  limits.cache_type = DType::i8;
  const auto cache = CpuExecutable::load(kGenericKernels, pool, program,
                                         random_weights(program, WeightFormat::f32, 1), limits);
  ASSERT_FALSE(cache.has_value());
  EXPECT_EQ(cache.error().code, ErrorCode::unsupported);
  auto weights = random_weights(program, WeightFormat::f32, 1);
  Random random(1);
  weights[0].parts = {int8_part(kVocabulary, kHidden, random)};
  const auto table =
      CpuExecutable::load(kGenericKernels, pool, program, std::move(weights), ExecutionLimits{});
  ASSERT_FALSE(table.has_value());
  EXPECT_NE(table.error().message.find("embed"), std::string::npos);
}

}  // namespace
}  // namespace lotse::cpu
