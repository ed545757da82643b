// Every family on the reference device against PyTorch.
#include "tests/golden/golden.h"

#include "device/reference/reference_device.h"

namespace lotse {
namespace {

class ReferenceGoldenTest : public GoldenTest {
 protected:
  std::unique_ptr<Device> device_ = make_reference_device();
};

// In bf16 a rounding may send a token to another expert, so a mixture's logits may differ there.
TEST_P(ReferenceGoldenTest, Bf16LogitsAreCloseToPyTorch) {
  narrow_to_bf16(model_.weights, model_.program);
  Runner runner(*device_, model_, DType::bf16, static_cast<int64_t>(tokens_.size()));
  const auto logits = runner.step(tokens_);
  EXPECT_LT(relative_rms(logits, golden_.logits), model_.config.moe.experts > 0 ? 1e-1 : 2e-2);
}

TEST_P(ReferenceGoldenTest, TeacherForcedLogitsMatchPyTorch) {
  widen_to_f32(model_.weights);
  Runner runner(*device_, model_, DType::f32, static_cast<int64_t>(tokens_.size()));
  const auto logits = runner.step(tokens_);
  ASSERT_EQ(logits.size(), golden_.logits.size());
  double worst = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::fabs(logits[i] - golden_.logits[i])));
  }
  EXPECT_LT(worst / static_cast<double>(rms(golden_.logits)), 1e-4);
}

TEST_P(ReferenceGoldenTest, HiddenStatesMatchPyTorch) {
  widen_to_f32(model_.weights);
  expect_hidden_states(*device_, model_, golden_);
}

TEST_P(ReferenceGoldenTest, Generates256GreedyTokensAsPyTorchDoes) {
  widen_to_f32(model_.weights);
  Runner runner(*device_, model_, DType::f32, static_cast<int64_t>(golden_.prompt.size()));
  const auto produced =
      runner.greedy(golden_.prompt, golden_.greedy.size(), model_.config.vocabulary);
  EXPECT_EQ(produced, golden_.greedy);
}

INSTANTIATE_TEST_SUITE_P(Families, ReferenceGoldenTest, testing::ValuesIn(golden_cases()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace lotse
