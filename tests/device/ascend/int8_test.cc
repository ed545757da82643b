// W8A8 products: given the same int8 inputs, the device computes the integers of the CPU device,
// and scales them in the same order.
#include "device/ascend/ascend_device.h"
#include "device/cpu/cpu_device.h"
#include "tests/device/program_under_test.h"

namespace lotse {
namespace {

struct Shape2 {
  int64_t rows;
  int64_t columns;
};

Program one_linear(const Shape2& shape) {
  Ops ops;
  const ValueId x = ops.embed("embed", kVocabulary, shape.columns, 1);
  return ops.finish(
      ops.linear("head", ops.gather_rows(x), ops.matrix({"head"}, shape.rows, shape.columns)));
}

class Int8Product : public testing::TestWithParam<Shape2> {};

TEST_P(Int8Product, IsBitEqualToTheCpuDevices) {
  const Shape2 shape = GetParam();
  const Program program = one_linear(shape);
  const auto weights = [&] {
    Random random(7);
    // Rows of the table are bf16, which both devices hold exactly and quantise by the same rule.
    std::vector<Weight> made(2);
    made[0].parts = {bf16_part(kVocabulary, shape.columns, 1, random)};
    made[1].parts = {int8_part(shape.rows, shape.columns, random)};
    return made;
  };
  const auto run = [&](Device& device) {
    ExecutionLimits limits = limits_of(DType::bf16);
    limits.max_outputs = limits.max_tokens;
    const auto executable = device.load(program, weights(), limits);
    EXPECT_TRUE(executable) << executable.error().message;
    std::vector<int32_t> tokens(kVocabulary);
    std::iota(tokens.begin(), tokens.end(), 0);
    const std::vector<int32_t> blocks = {0, 1, 2, 3, 4, 5, 6};
    const BatchSequence sequence{0, kVocabulary, kVocabulary, blocks};
    const auto logits = (*executable)->run({tokens, tokens, {&sequence, 1}, tokens});
    return std::vector<float>(logits->begin(), logits->end());
  };
  const std::vector<float> expected = run(*make_cpu_device(1).value());
  const std::vector<float> actual = run(*make_ascend_device(0).value());
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i], round_to_bf16(expected[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Int8Product,
                         testing::Values(Shape2{1, 32}, Shape2{7, 33}, Shape2{64, 64},
                                         Shape2{129, 255}, Shape2{300, 1024}, Shape2{97, 4097}),
                         [](const auto& instance) {
                           return std::to_string(instance.param.rows) + "x" +
                                  std::to_string(instance.param.columns);
                         });

}  // namespace
}  // namespace lotse
