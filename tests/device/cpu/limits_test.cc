// The measured limits: plausible, growing with the instruction set's width, and read correctly.
#include "device/cpu/limits.h"

#include "kernel_test.h"

namespace lotse::cpu {
namespace {

class Limits : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Isa, Limits, testing::ValuesIn(instruction_sets()), isa_name);

TEST_P(Limits, ReadSeesEveryByte) {
  std::vector<uint8_t> bytes(8192, 0);
  const uint64_t zero = kernels().read(bytes.data(), 8192);
  EXPECT_EQ(zero, 0u);
  for (size_t i = 0; i < bytes.size(); i += 61) {
    bytes[i] = 1;
    EXPECT_NE(kernels().read(bytes.data(), 8192), 0u) << i;
    bytes[i] = 0;
  }
}

TEST_P(Limits, PeaksCountTheirOperations) {
  float sink = 0;
  // Operations must grow with the rounds, and int8 must do at least as many a round as f32.
  const double f32 = kernels().peak_f32(10, &sink);
  EXPECT_EQ(kernels().peak_f32(20, &sink), 2 * f32);
  EXPECT_GE(kernels().peak_bf16(10, &sink), f32);
  EXPECT_GE(kernels().peak_int8(10, &sink), f32);
}

TEST_P(Limits, MeasurementsArePositiveAndFinite) {
  const auto bandwidth = measure_read_bandwidth(kernels(), 2, int64_t{8} << 20, 2);
  ASSERT_TRUE(bandwidth.has_value());
  EXPECT_GT(*bandwidth, 1e6);
  EXPECT_LT(*bandwidth, 1e13);
  const PeakRates peaks = measure_peaks(kernels(), 1);
  for (const double rate : {peaks.f32, peaks.bf16, peaks.int8}) {
    EXPECT_GT(rate, 1e6);
    EXPECT_LT(rate, 1e14);
  }
}

}  // namespace
}  // namespace lotse::cpu
