// The whole device: programs with every operator against the reference device, on every instruction
// set, and bit-equality of a sequence's logits whatever is beside it in the batch.
#include <algorithm>
#include <cstring>

#include "device/cpu/executable.h"
#include "device/reference/reference_device.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

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
                                          testing::Values(DType::f32, DType::bf16, DType::i8)),
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
  limits.cache_type = DType::f16;
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
