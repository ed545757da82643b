// Every family divided between two emulated devices: the tokens of one.
#include "device/ascend/ascend_device.h"
#include "tests/device/thread_group.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

constexpr int64_t kBlock = 128;

// All but one with three heads, which two ranks cannot share (tests/model/shard_test.cc tests the
// refusal).
std::vector<std::string> divisible_cases() {
  std::vector<std::string> names = golden_cases();
  std::erase_if(names, [](const auto& name) { return name == "llama"; });
  return names;
}

class TensorParallelTest : public GoldenTest {};

TEST_P(TensorParallelTest, GeneratesTheSame256GreedyTokens) {
  widen_to_f32(model_.weights);
  ThreadGroup team(2);
  std::vector<std::vector<int32_t>> produced(2);
  team.run([&](Group& group) {
    Model part = model_;
    shard_model(part, group.rank(), group.size()).value();
    const std::unique_ptr<Device> device = make_ascend_device(group.rank(), &group).value();
    Runner runner(*device, part, DType::f32, std::ssize(golden_.prompt), kBlock);
    produced[static_cast<size_t>(group.rank())] =
        runner.greedy(golden_.prompt, golden_.greedy.size(), part.config.vocabulary);
  });
  EXPECT_EQ(produced[0], golden_.greedy);
  EXPECT_EQ(produced[1], golden_.greedy);
}

INSTANTIATE_TEST_SUITE_P(Families, TensorParallelTest, testing::ValuesIn(divisible_cases()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace lotse
