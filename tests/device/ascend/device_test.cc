// Programs with every operator on the emulated device against the reference device.
#include "device/ascend/ascend_device.h"
#include "device/reference/reference_device.h"
#include "tests/device/program_under_test.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

using Case = std::tuple<WeightFormat, DType>;

class AscendDeviceTest : public testing::TestWithParam<Case> {
 protected:
  static ExecutionLimits limits(int64_t block_tokens) {
    ExecutionLimits limits = limits_of(std::get<1>(GetParam()));
    limits.max_outputs = limits.max_tokens;
    limits.block_tokens = block_tokens;
    return limits;
  }

  static std::unique_ptr<Executable> load(Device& device, int64_t block_tokens) {
    const Program program = make_program();
    auto executable = device.load(program, random_weights(program, std::get<0>(GetParam()), 31),
                                  limits(block_tokens));
    EXPECT_TRUE(executable.has_value()) << executable.error().message;
    return std::move(*executable);
  }

  std::unique_ptr<Device> device_ = make_ascend_device(0).value();
};

INSTANTIATE_TEST_SUITE_P(Emulated, AscendDeviceTest,
                         testing::Combine(testing::Values(WeightFormat::f32, WeightFormat::bf16,
                                                          WeightFormat::w8a8),
                                          testing::Values(DType::f32, DType::bf16)),
                         [](const testing::TestParamInfo<Case>& instance) {
                           return std::string(name(std::get<0>(instance.param))) + "_cache_" +
                                  std::string(name(std::get<1>(instance.param)));
                         });

TEST_P(AscendDeviceTest, MatchesTheReferenceDevice) {
  const auto prompts = random_prompts(32);
  const auto reference = make_reference_device();
  const auto expected = run_all(*load(*reference, 16), prompts, 64);
  const auto executable = load(*device_, 128);
  const bool is_exact =
      std::get<0>(GetParam()) == WeightFormat::f32 && std::get<1>(GetParam()) == DType::f32;
  // Of the logits' RMS. The device keeps activations in bf16, the reference in fp32.
  const double tolerance = is_exact ? 1e-5 : 3e-2;
  for (const size_t chunk : {size_t{64}, size_t{7}, size_t{1}}) {
    const auto actual = run_all(*executable, prompts, chunk);
    for (size_t p = 0; p < prompts.size(); ++p) {
      ASSERT_EQ(actual[p].size(), expected[p].size());
      EXPECT_LT(relative_rms(actual[p], expected[p]), tolerance) << p << " " << chunk;
    }
  }
  EXPECT_GT(executable->device_seconds(), 0);
}

TEST_P(AscendDeviceTest, ObserverSeesAndChangesValues) {
  struct Zero final : Observer {
    std::vector<std::string> names;
    Result<void> on_value(const Op& op, std::span<float> data, int64_t rows,
                          int64_t columns) override {
      EXPECT_EQ(std::ssize(data), rows * columns);
      names.push_back(op.name);
      if (op.name == "gather_rows") std::fill(data.begin(), data.end(), 0.0f);
      return {};
    }
  };
  Zero observer;
  const auto executable = load(*device_, 128);
  executable->observe(&observer);
  const std::vector<Prompt> prompts = {{{1, 2, 3}, {0}}};
  const auto logits = run_all(*executable, prompts, 64);
  EXPECT_EQ(observer.names.size(), make_program().ops.size());
  for (const float v : logits[0]) ASSERT_EQ(v, 0.0f);
}

TEST(AscendDevices, AreListedAsEmulated) {
  const auto devices = list_ascend_devices();
  ASSERT_TRUE(devices) << devices.error().message;
  ASSERT_FALSE(devices->empty());
  EXPECT_FALSE(devices->front().emulator.empty());
  EXPECT_TRUE(devices->front().soc.starts_with("Ascend"));
  EXPECT_NE(describe(devices->front()).find("EMULATED"), std::string::npos);
  const auto absent = make_ascend_device(99);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::not_found);
}

TEST(AscendDevices, RefuseWhatDoesNotFit) {
  const auto device = make_ascend_device(0).value();
  const Program program = make_program();
  ExecutionLimits limits = limits_of(DType::bf16);
  limits.cache_blocks = int64_t{1} << 32;
  const auto executable =
      device->load(program, random_weights(program, WeightFormat::bf16, 1), limits);
  ASSERT_FALSE(executable);
  EXPECT_EQ(executable.error().code, ErrorCode::limit);
  EXPECT_NE(executable.error().message.find("KV cache"), std::string::npos);
}

}  // namespace
}  // namespace lotse
