// Encoders on the emulated device against PyTorch, in fp32.
#include "device/ascend/ascend_device.h"
#include "tests/golden/encoders.h"

namespace lotse {
namespace {

class AscendEncoder : public testing::TestWithParam<const char*> {};

TEST_P(AscendEncoder, HiddenStatesMatchPyTorch) {
  expect_hidden_states_of_texts(*make_ascend_device(0, nullptr).value(), GetParam(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Encoders, AscendEncoder, testing::Values("bert", "bert_masked", "roberta"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace lotse
