#include "chip/roofline.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace lotse {
namespace {

Constant measured(double value) { return {value, Provenance::measured, ""}; }

// 100 FLOP/s, 10 B/s, half of each achieved.
ChipProfile toy() {
  ChipProfile chip;
  chip.name = "toy";
  chip.memory_bandwidth = measured(10);
  chip.peak[static_cast<size_t>(MathType::bf16)] = measured(100);
  chip.peak[static_cast<size_t>(MathType::i8)] = measured(200);
  chip.peak[static_cast<size_t>(MathType::vector)] = measured(20);
  chip.gemm_efficiency = measured(0.5);
  chip.memory_efficiency = measured(0.5);
  chip.matmul_launch = measured(2);
  return chip;
}

TEST(Roofline, HandComputed) {
  ChipProfile chip = toy();
  OperatorCost cost{1000, MathType::bf16, 10, 5, OperatorClass::matmul};
  Time time = roofline(chip, cost).value();
  EXPECT_DOUBLE_EQ(time.seconds, 20);  // 1000 / (100 · 0.5)
  EXPECT_EQ(time.limited_by, Limit::compute);

  cost.bytes_written = 190;
  time = roofline(chip, cost).value();
  EXPECT_DOUBLE_EQ(time.seconds, 40);  // 200 / (10 · 0.5)
  EXPECT_EQ(time.limited_by, Limit::memory);
  EXPECT_DOUBLE_EQ(roofline(chip, cost, 2).value().seconds, 20);

  time = roofline(chip, {10, MathType::bf16, 1, 1, OperatorClass::matmul}).value();
  EXPECT_DOUBLE_EQ(time.seconds, 2);
  EXPECT_EQ(time.limited_by, Limit::launch);

  time = roofline(chip, {200, MathType::vector, 1, 1, OperatorClass::other}).value();
  EXPECT_DOUBLE_EQ(time.seconds, 10);  // vector peaks have no efficiency of their own
  EXPECT_EQ(time.limited_by, Limit::vector);
}

TEST(Roofline, SpecificEfficienciesAndFloorsGoBeforeGeneralOnes) {
  ChipProfile chip = toy();
  const OperatorCost quantised{1000, MathType::i8, 100, 0, OperatorClass::quantised_matmul};
  EXPECT_DOUBLE_EQ(roofline(chip, quantised).value().seconds, 20);  // 100 / (10 · 0.5)
  chip.memory_i8_efficiency = measured(0.25);
  EXPECT_DOUBLE_EQ(roofline(chip, quantised).value().seconds, 40);
  chip.gemm_i8_efficiency = measured(0.05);
  EXPECT_DOUBLE_EQ(roofline(chip, quantised).value().seconds, 100);  // 1000 / (200 · 0.05)
  chip.quantised_matmul_launch = measured(300);
  EXPECT_EQ(roofline(chip, quantised).value().limited_by, Limit::launch);

  const OperatorCost attention{0, MathType::bf16, 100, 0, OperatorClass::attention};
  EXPECT_DOUBLE_EQ(roofline(chip, attention).value().seconds, 20);
  chip.memory_attention_efficiency = measured(1);
  EXPECT_DOUBLE_EQ(roofline(chip, attention).value().seconds, 10);
  chip.other_launch = measured(11);
  EXPECT_DOUBLE_EQ(roofline(chip, attention).value().seconds, 11);
}

TEST(Roofline, UnknownRatesAreErrorsThatNameThem) {
  ChipProfile chip = toy();
  const auto f8 = roofline(chip, {1, MathType::f8, 0, 0, OperatorClass::matmul});
  ASSERT_FALSE(f8);
  EXPECT_EQ(f8.error().code, ErrorCode::unsupported);
  EXPECT_EQ(f8.error().message, "toy: no peak rate of f8 matrix products is known");
  chip.peak[static_cast<size_t>(MathType::vector)].reset();
  EXPECT_TRUE(roofline(chip, {1e9, MathType::vector, 1, 1, OperatorClass::other}));
  const auto cpu =
      roofline(load_chip("cpu").value(), {1, MathType::f32, 1, 1, OperatorClass::other});
  ASSERT_FALSE(cpu);
  EXPECT_NE(cpu.error().message.find("lotse bench"), std::string::npos);
}

// One decode step of an 8192 x 8192 BF16 product with one row: the weights are read once.
TEST(Roofline, A910BReadsWeightsAtItsMeasuredRate) {
  const ChipProfile chip = load_chip("ascend-910b2").value();
  const double bytes = 8192.0 * 8192 * 2;
  const Time time =
      roofline(chip, {2.0 * 8192 * 8192, MathType::bf16, bytes, 0, OperatorClass::matmul}).value();
  EXPECT_EQ(time.limited_by, Limit::memory);
  EXPECT_NEAR(bytes / time.seconds, 1.21e12, 0.01e12);
}

OperatorCost arbitrary_cost() {
  return {static_cast<double>(*rc::gen::inRange<int64_t>(0, 1'000'000'000'000)),
          *rc::gen::element(MathType::bf16, MathType::i8, MathType::vector),
          static_cast<double>(*rc::gen::inRange<int64_t>(0, 10'000'000'000)),
          static_cast<double>(*rc::gen::inRange<int64_t>(0, 10'000'000'000)),
          *rc::gen::element(OperatorClass::matmul, OperatorClass::quantised_matmul,
                            OperatorClass::attention, OperatorClass::other)};
}

RC_GTEST_PROP(RooflineProperty, MoreWorkNeverTakesLess, ()) {
  const ChipProfile chip =
      load_chip(*rc::gen::element<std::string>("ascend-910b1", "ascend-910c", "h100", "a100"))
          .value();
  const OperatorCost cost = arbitrary_cost();
  const double seconds = roofline(chip, cost).value().seconds;
  OperatorCost more = cost;
  const auto extra = static_cast<double>(*rc::gen::inRange<int64_t>(0, 1'000'000'000));
  switch (*rc::gen::inRange(0, 3)) {
    case 0:
      more.flops += extra;
      break;
    case 1:
      more.bytes_read += extra;
      break;
    default:
      more.bytes_written += extra;
      break;
  }
  RC_ASSERT(roofline(chip, more).value().seconds >= seconds);
  RC_ASSERT(roofline(chip, cost, 2).value().seconds <= seconds);
  RC_ASSERT(2 * roofline(chip, cost, 2).value().seconds >= seconds * (1 - 1e-12));
}

RC_GTEST_PROP(RooflineProperty, NeverFasterThanThePeaks, ()) {
  const ChipProfile chip = load_chip("ascend-910b3").value();
  const OperatorCost cost = arbitrary_cost();
  const double seconds = roofline(chip, cost).value().seconds;
  RC_ASSERT(seconds * chip.memory_bandwidth->value >= cost.bytes_read + cost.bytes_written);
  RC_ASSERT(seconds * peak(chip, cost.math)->value >= cost.flops * (1 - 1e-12));
  RC_ASSERT(seconds >= 5.1e-6 * (1 - 1e-12));
}

}  // namespace
}  // namespace lotse
