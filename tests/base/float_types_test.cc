#include "base/float_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lotse {
namespace {

// Every binary16 value survives the way to float and back; the compiler's own half type agrees.
TEST(FloatTypes, HalfIsExhaustivelyExact) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = fp16_to_float(half);
    const _Float16 expected = std::bit_cast<_Float16>(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(expected)));
      continue;
    }
    EXPECT_EQ(value, static_cast<float>(expected));
    EXPECT_EQ(float_to_fp16(value), half);
  }
}

TEST(FloatTypes, RoundingToHalfAgreesWithTheCompiler) {
  uint32_t bits = 1;
  for (int i = 0; i < 2'000'000; ++i) {
    bits = bits * 1664525u + 1013904223u;
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    EXPECT_EQ(float_to_fp16(value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << value;
  }
}

TEST(FloatTypes, Bf16RoundsToNearestEven) {
  EXPECT_EQ(float_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie to even
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

// float_to_e4m3 must pick the nearest of all 256 encodings, ties to the even one.
TEST(FloatTypes, E4m3PicksTheNearestEncoding) {
  uint32_t state = 7;
  for (int i = 0; i < 100'000; ++i) {
    state = state * 1664525u + 1013904223u;
    const float value = std::ldexp(static_cast<float>(static_cast<int32_t>(state)),
                                   -31 + static_cast<int>(state % 20) - 10);
    float best = std::numeric_limits<float>::infinity();
    for (int bits = 0; bits < 256; ++bits) {
      const float candidate = e4m3_to_float(static_cast<uint8_t>(bits));
      if (!std::isnan(candidate)) best = std::min(best, std::fabs(candidate - value));
    }
    EXPECT_EQ(std::fabs(e4m3_to_float(float_to_e4m3(value)) - value), best) << value;
  }
  EXPECT_EQ(e4m3_to_float(0x7e), 448.0f);
  EXPECT_EQ(e4m3_to_float(0x01), std::ldexp(1.0f, -9));
}

TEST(FloatTypes, SmallFormatsMatchTheirTables) {
  const float e2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (uint8_t i = 0; i < 8; ++i) {
    EXPECT_EQ(e2m1_to_float(i), e2m1[i]);
    EXPECT_EQ(e2m1_to_float(static_cast<uint8_t>(i | 8)), -e2m1[i]);
  }
  EXPECT_EQ(e5m2_to_float(0x7b), 57344.0f);
  EXPECT_EQ(e8m0_to_float(127), 1.0f);
  EXPECT_EQ(e8m0_to_float(0), std::ldexp(1.0f, -127));
}

}  // namespace
}  // namespace lotse
