// The stored formats against their definitions, in double precision.
#include "port/quantise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/checked.h"
#include "base/float_types.h"

namespace lotse {
namespace {

// Rows of many magnitudes and lengths, some with outliers, zeros or a few values only.
std::vector<float> random_row(std::mt19937& random, size_t size) {
  std::normal_distribution<float> normal;
  const float magnitude = std::pow(10.0f, std::uniform_real_distribution<float>(-30, 30)(random));
  std::vector<float> row(size);
  for (float& value : row) value = normal(random) * magnitude;
  if (random() % 4 == 0) row[random() % size] *= 50;
  if (random() % 8 == 0) std::fill(row.begin(), row.end(), 0.0f);
  return row;
}

double largest(std::span<const float> row) {
  double result = 0;
  for (const float value : row) result = std::max(result, std::fabs(static_cast<double>(value)));
  return result;
}

TEST(Int8, FollowsItsDefinitionInDoublePrecision) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::vector<float> row = random_row(random, 1 + random() % 300);
    std::vector<int8_t> q(row.size());
    const float scale = quantise_int8_row(row, q);
    EXPECT_EQ(scale, static_cast<float>(largest(row)) / 127.0f);
    for (size_t k = 0; k < row.size(); ++k) {
      if (scale == 0) {
        EXPECT_EQ(q[k], 0);
        continue;
      }
      const double exact = static_cast<double>(row[k]) / static_cast<double>(scale);
      // Halves are ties: the division's rounding in fp32 decides them, either way is nearest.
      EXPECT_LE(std::fabs(exact - q[k]), 0.5 + 1e-5) << row[k] << " / " << scale;
      EXPECT_LE(std::abs(q[k]), 127);
    }
    if (scale > 0) {
      EXPECT_EQ(std::max(*std::ranges::max_element(q),
                         static_cast<int8_t>(-*std::ranges::min_element(q))),
                127);
    }
  }
}

TEST(Int8, TiesGoToTheEvenNeighbour) {
  // The scale is exactly 1.
  const std::vector<float> row = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -126.5f};
  std::vector<int8_t> q(row.size());
  EXPECT_EQ(quantise_int8_row(row, q), 1);
  EXPECT_EQ(q, (std::vector<int8_t>{127, 0, 2, 2, 0, -2, -2, 126, -126}));
}

TEST(Int8, SubnormalRowsStayWithinTheRange) {
  for (int units = 1; units < 1000; ++units) {
    const float tiny = static_cast<float>(units) * std::numeric_limits<float>::denorm_min();
    const std::vector<float> row = {tiny, -tiny, tiny / 2};
    std::vector<int8_t> q(row.size());
    const float scale = quantise_int8_row(row, q);
    EXPECT_LE(std::abs(q[0]), 127);
    EXPECT_EQ(q[0], -q[1]);
    // The scale itself is off by up to half a unit.
    EXPECT_LE(std::fabs(static_cast<float>(q[0]) * scale - tiny),
              64 * std::numeric_limits<float>::denorm_min());
  }
}

TEST(Int8, ReportsValuesThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> row(37, 1.0f);
    row[20] = bad;
    std::vector<int8_t> q(row.size());
    EXPECT_FALSE(std::isfinite(quantise_int8_row(row, q)));
    std::vector<uint16_t> scales(2);
    EXPECT_FALSE(quantise_int4_row(row, 32, scales, q));
  }
}

double squared_error(std::span<const float> values, std::span<const int8_t> q, double scale) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(q[i]) * scale;
    sum += error * error;
  }
  return sum;
}

// Round to nearest with the plain scale max / 7: what the search has to beat.
double plain_error(std::span<const float> values) {
  const double scale =
      static_cast<double>(round_to_bf16(static_cast<float>(largest(values)) / 7.0f));
  if (scale == 0) return 0;
  double sum = 0;
  for (const float value : values) {
    const double q = std::clamp(std::nearbyint(static_cast<double>(value) / scale), -8.0, 7.0);
    const double error = static_cast<double>(value) - q * scale;
    sum += error * error;
  }
  return sum;
}

TEST(Int4, IsNearestForItsScaleAndNeverWorseThanThePlainScale) {
  std::mt19937 random(2);
  for (int i = 0; i < 1000; ++i) {
    const int64_t group = int64_t{32} << (random() % 3);
    const std::vector<float> row = random_row(random, 1 + random() % 400);
    const auto groups = static_cast<size_t>(ceil_div(static_cast<int64_t>(row.size()), group));
    std::vector<uint16_t> scales(groups);
    std::vector<int8_t> q(row.size());
    ASSERT_TRUE(quantise_int4_row(row, group, scales, q));
    for (size_t g = 0; g < groups; ++g) {
      const size_t begin = g * static_cast<size_t>(group);
      const size_t size = std::min(static_cast<size_t>(group), row.size() - begin);
      const auto values = std::span(row).subspan(begin, size);
      const auto chosen = std::span(q).subspan(begin, size);
      const double scale = static_cast<double>(bf16_to_float(scales[g]));
      for (size_t k = 0; k < size; ++k) {
        if (scale == 0) {
          EXPECT_EQ(chosen[k], 0);
          continue;
        }
        const double exact = std::clamp(static_cast<double>(values[k]) / scale, -8.0, 7.0);
        EXPECT_LE(std::fabs(exact - chosen[k]), 0.5 + 1e-5);
      }
      EXPECT_LE(squared_error(values, chosen, scale), plain_error(values) * (1 + 1e-5));
    }
  }
}

TEST(Int4, UsesMinusEightWhereTheExtremeIsNegative) {
  // Multiples of a step with one at −8: the scale that reaches it represents all exactly.
  std::vector<float> row(32);
  for (size_t i = 0; i < row.size(); ++i)
    row[i] = 0.25f * static_cast<float>(static_cast<int>(i % 16) - 8);
  std::vector<uint16_t> scales(1);
  std::vector<int8_t> q(row.size());
  ASSERT_TRUE(quantise_int4_row(row, 32, scales, q));
  EXPECT_EQ(bf16_to_float(scales[0]), 0.25f);
  EXPECT_EQ(squared_error(row, q, 0.25), 0);
  EXPECT_EQ(*std::ranges::min_element(q), -8);
}

TEST(EncodeRow, PacksInt4AsOffsetNibblesLowestFirst) {
  std::vector<float> row = {-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 0};
  row.resize(32);
  std::vector<std::byte> values(16);
  std::vector<std::byte> scales(2);
  ASSERT_TRUE(
      encode_row(WeightFormat::w4a16, 32, row, values.data(), scales.data()).is_representable);
  uint16_t scale = 0;
  std::memcpy(&scale, scales.data(), sizeof scale);
  ASSERT_EQ(bf16_to_float(scale), 1);
  uint32_t words[4];
  std::memcpy(words, values.data(), sizeof words);
  for (size_t k = 0; k < row.size(); ++k) {
    const auto nibble = static_cast<int>((words[k / 8] >> (4 * (k % 8))) & 0xf);
    EXPECT_EQ(static_cast<float>(nibble - 8), row[k]) << k;
  }
}

TEST(EncodeRow, ErrorsAreThoseOfTheStoredValues) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16,
                                    WeightFormat::w8a8, WeightFormat::w4a8}) {
    std::vector<float> row(264);
    for (float& value : row) value = normal(random);
    std::vector<std::byte> values(static_cast<size_t>(value_bytes(format, 264)));
    std::vector<std::byte> scales(static_cast<size_t>(scale_bytes(format, 264, 128)));
    const EncodedRow encoded = encode_row(format, 128, row, values.data(), scales.data());
    ASSERT_TRUE(encoded.is_representable);
    double error = 0;
    double worst = 0;
    for (size_t k = 0; k < row.size(); ++k) {
      double stored = 0;
      if (format == WeightFormat::f32) {
        stored = static_cast<double>(row[k]);
      } else if (format == WeightFormat::w8a8) {
        float scale = 0;
        std::memcpy(&scale, scales.data(), sizeof scale);
        stored = static_cast<double>(static_cast<int8_t>(values[k])) * static_cast<double>(scale);
      } else if (format == WeightFormat::w4a8) {
        uint16_t scale = 0;
        std::memcpy(&scale, scales.data() + 2 * (k / 128), sizeof scale);
        const int byte = std::to_integer<int>(values[k / 2]);
        const int nibble = k % 2 == 0 ? byte & 0xf : byte >> 4;
        stored = (nibble - 8) * static_cast<double>(bf16_to_float(scale));
      } else {
        uint16_t half = 0;
        std::memcpy(&half, values.data() + 2 * k, sizeof half);
        stored = static_cast<double>(format == WeightFormat::f16 ? fp16_to_float(half)
                                                                 : bf16_to_float(half));
      }
      const double difference = stored - static_cast<double>(row[k]);
      error += difference * difference;
      worst = std::max(worst, std::fabs(difference));
    }
    EXPECT_NEAR(encoded.sums.error, error, 1e-5 * error + 1e-30) << name(format);
    EXPECT_NEAR(encoded.sums.largest, worst, 1e-5 * worst) << name(format);
  }
}

TEST(EncodeRow, RefusesWhatTheFormatCannotHold) {
  std::vector<std::byte> values(64);
  std::vector<std::byte> scales(16);
  std::vector<float> row(8, 1.0f);
  const auto holds = [&](WeightFormat format) {
    return encode_row(format, 32, row, values.data(), scales.data()).is_representable;
  };
  row[3] = 65504;
  EXPECT_TRUE(holds(WeightFormat::f16));
  row[3] = 65520;  // rounds to infinity
  EXPECT_FALSE(holds(WeightFormat::f16));
  EXPECT_TRUE(holds(WeightFormat::bf16));
  EXPECT_TRUE(holds(WeightFormat::w8a8));
  row[3] = std::numeric_limits<float>::max();  // bf16 would round it to infinity
  EXPECT_FALSE(holds(WeightFormat::bf16));
  row[3] = std::numeric_limits<float>::quiet_NaN();
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16,
                                    WeightFormat::w8a8, WeightFormat::w4a16}) {
    EXPECT_FALSE(holds(format)) << name(format);
  }
}

TEST(TensorError, IsRelativeAndHandlesZeros) {
  ErrorSums sums = compare_rows(std::vector<float>{3, 4}, std::vector<float>{3, 5});
  EXPECT_DOUBLE_EQ(summarise(sums).relative_rms, 0.2);
  EXPECT_DOUBLE_EQ(summarise(sums).max_abs, 1);
  EXPECT_NEAR(summarise(sums).cosine, 29 / (5 * std::sqrt(34.0)), 1e-12);
  sums.add(compare_rows(std::vector<float>{0, 0}, std::vector<float>{0, 2}));
  EXPECT_DOUBLE_EQ(summarise(sums).relative_rms, std::sqrt(5.0) / 5);
  EXPECT_DOUBLE_EQ(summarise(sums).max_abs, 2);
  const TensorError nothing = summarise(compare_rows(std::vector<float>(9), std::vector<float>(9)));
  EXPECT_EQ(nothing.relative_rms, 0);
  EXPECT_EQ(nothing.cosine, 1);
}

}  // namespace
}  // namespace lotse
