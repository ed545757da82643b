// Quantisation against the arithmetic of its definition.
#include "aclnnop/quant.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "packed.h"
#include "support.h"

namespace emulator_test {
namespace {

class Quant : public DeviceTest {};

// A row in FLOAT as the definition says it: integers within ±most and their scale.
struct Row {
  std::vector<double> q;
  double scale;
};

Row quantise(const std::vector<float>& x, float most) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  if (largest == 0) return {std::vector<double>(x.size(), 0), 0};
  const float inverse = most / largest;
  Row row{{}, static_cast<double>(largest / most)};
  for (const float value : x) row.q.push_back(static_cast<double>(std::nearbyint(value * inverse)));
  return row;
}

std::vector<float> row_of(const Tensor& x, int64_t row, const std::vector<double>& smooth = {}) {
  const int64_t length = x.dims().back();
  std::vector<float> values;
  for (int64_t i = 0; i < length; ++i) {
    const auto value = static_cast<float>(x.values()[static_cast<size_t>(row * length + i)]);
    const auto at = static_cast<size_t>(i);
    values.push_back(smooth.empty() ? value : value * static_cast<float>(smooth[at]));
  }
  return values;
}

void expect_rows(const std::vector<double>& q, const std::vector<double>& scales,
                 const std::vector<std::vector<float>>& rows, float most) {
  for (size_t r = 0; r < rows.size(); ++r) {
    const Row expected = quantise(rows[r], most);
    const size_t length = rows[r].size();
    const auto first = q.begin() + static_cast<std::ptrdiff_t>(r * length);
    EXPECT_EQ(std::vector<double>(first, first + static_cast<std::ptrdiff_t>(length)), expected.q);
    EXPECT_EQ(scales[r], expected.scale);
  }
}

TEST_F(Quant, DynamicGivesTheIntegersOfTheDefinition) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    for (const Shape& dims : {Shape{1, 1}, Shape{7, 33}, Shape{2, 3, 1031}}) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << testing::PrintToString(dims) << scattered);
        const Tensor x = Tensor::random(dtype, dims, 5, scattered, -30, 30);
        Shape rows(dims.begin(), dims.end() - 1);
        const Tensor y = Tensor::output(ACL_INT8, dims, !scattered);
        const Tensor scale = Tensor::output(ACL_FLOAT, rows, scattered);
        RUN(aclnnDynamicQuant, x, nullptr, y, scale);
        std::vector<std::vector<float>> expected;
        for (int64_t r = 0; r < x.count() / dims.back(); ++r) expected.push_back(row_of(x, r));
        expect_rows(y.fetch(), scale.fetch(), expected, 127);
      }
    }
  }
}

TEST_F(Quant, TiesRoundToEven) {
  const Tensor x(ACL_FLOAT16, {1, 6}, {127, 0.5, 1.5, 2.5, -0.5, -3.5});
  const Tensor y = Tensor::output(ACL_INT8, {1, 6}), scale = Tensor::output(ACL_FLOAT, {1});
  RUN(aclnnDynamicQuant, x, nullptr, y, scale);
  EXPECT_THAT(y.fetch(), testing::ElementsAre(127, 0, 2, 2, 0, -4));
}

TEST_F(Quant, RowsOfZerosInfinitiesAndVanishingNumbers) {
  const Tensor x(ACL_BF16, {4, 2}, {0, 0, INFINITY, 1, NAN, 1, 1e-38, 0});
  const Tensor y = Tensor::output(ACL_INT8, {4, 2}), scale = Tensor::output(ACL_FLOAT, {4});
  RUN(aclnnDynamicQuant, x, nullptr, y, scale);
  EXPECT_THAT(y.fetch(), testing::Each(0));
  EXPECT_THAT(scale.fetch(), testing::ElementsAre(0, testing::IsNan(), testing::IsNan(), 0));
}

TEST_F(Quant, DynamicSmoothsEachGroupOfRowsByItsOwn) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {7, 10}, 5);
  const Tensor smooth = Tensor::random(ACL_FLOAT16, {3, 10}, 6, true, 0.5, 4);
  const Tensor ends(ACL_INT32, {3}, {2, 2, 7});
  const Tensor y = Tensor::output(ACL_INT8, {7, 10}), scale = Tensor::output(ACL_FLOAT, {7});
  RUN(aclnnDynamicQuantV2, x, smooth, ends, 2, y, scale, nullptr);
  std::vector<std::vector<float>> expected;
  for (int64_t r = 0; r < 7; ++r) {
    const auto first = smooth.values().begin() + (r < 2 ? 0 : 20);
    expected.push_back(row_of(x, r, {first, first + 10}));
  }
  expect_rows(y.fetch(), scale.fetch(), expected, 127);
}

TEST_F(Quant, DynamicToInt4PlainAndPacked) {
  const Tensor x = Tensor::random(ACL_BF16, {5, 24}, 5);
  std::vector<std::vector<float>> expected;
  for (int64_t r = 0; r < 5; ++r) expected.push_back(row_of(x, r));
  for (const aclDataType type : {ACL_INT4, ACL_INT32}) {
    const Int4 y(std::vector<int>(120), type, {5, type == ACL_INT4 ? 24 : 3});
    const Tensor scale = Tensor::output(ACL_FLOAT, {5});
    RUN(aclnnDynamicQuantV2, x, nullptr, nullptr, type, y.tensor, scale, nullptr);
    expect_rows(y.fetch(), scale.fetch(), expected, 7);
  }
}

TEST_F(Quant, AsymmetricRowsUseTheWholeRange) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {6, 50}, 5, false, 1, 9);
  const Tensor y = Tensor::output(ACL_INT8, {6, 50}), scale = Tensor::output(ACL_FLOAT, {6});
  const Tensor offset = Tensor::output(ACL_FLOAT, {6});
  RUN(aclnnDynamicQuantV2, x, nullptr, nullptr, 2, y, scale, offset);
  const auto q = y.fetch(), s = scale.fetch(), o = offset.fetch();
  for (size_t i = 0; i < q.size(); ++i) {
    EXPECT_NEAR((q[i] - o[i / 50]) * s[i / 50], x.values()[i], 0.5001 * s[i / 50]);
  }
  EXPECT_EQ(*std::ranges::max_element(q), 127);
  EXPECT_EQ(*std::ranges::min_element(q), -128);
}

TEST_F(Quant, AscendQuantRoundsAsAsked) {
  struct Mode {
    const char* name;
    double (*f)(double);
  };
  const Mode modes[] = {{"round", [](double x) { return std::nearbyint(x); }},
                        {"floor", [](double x) { return std::floor(x); }},
                        {"ceil", [](double x) { return std::ceil(x); }},
                        {"trunc", [](double x) { return std::trunc(x); }}};
  for (const Mode& mode : modes) {
    for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
      SCOPED_TRACE(testing::Message() << mode.name << dtype);
      // Eighths and powers of two, so that products and sums are exact.
      std::vector<double> numbers;
      for (int i = 0; i < 33; ++i) numbers.push_back((i - 16) * 0.125 * (i % 5 == 0 ? 128 : 1));
      const Tensor x(dtype, {3, 11}, numbers);
      const Tensor scale(dtype, {11}, {1, 2, 4, 0.5, 1, 2, 4, 0.5, 1, 2, 4});
      const Tensor offset(dtype, {11}, {0, 1, -1, 3, 0, 1, -1, 3, 0, 1, -1});
      const Tensor y = Tensor::output(ACL_INT8, {3, 11}, true);
      RUN(aclnnAscendQuant, x, scale, offset, false, mode.name, 2, y);
      expect_values(
          y,
          [&](const Shape& at) {
            const double value = mode.f(x.at(at) * scale.at(at) + offset.at(at));
            return std::min(std::max(value, -128.0), 127.0);
          },
          0);
      RUN(aclnnAscendQuant, x, scale, nullptr, true, mode.name, 2, y);
      expect_values(
          y,
          [&](const Shape& at) {
            const double value = mode.f(x.at(at) * scale.at(at) * scale.at(at));
            return std::min(std::max(value, -128.0), 127.0);
          },
          0);
    }
  }
}

TEST_F(Quant, ScalesOfTheMatrixUnitKeepNineteenBitsAndAnOffset) {
  const float scales[] = {0.1f, -3.7e-5f, 1e20f};
  const Tensor scale(ACL_FLOAT, {3}, {0.1f, -3.7e-5f, 1e20f});
  const Tensor offset(ACL_FLOAT, {3}, {-256, 3.4, 1000});
  const Tensor out = Tensor::output(ACL_UINT64, {3});
  RUN(aclnnTransQuantParamV2, scale, offset, out);
  uint64_t packed[3];
  ASSERT_EQ(aclrtMemcpy(packed, 24, out.data(), 24, ACL_MEMCPY_DEVICE_TO_HOST), 0);
  const int64_t offsets[] = {-256, 3, 255};
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t upper = (uint64_t{1} << 46) | (static_cast<uint64_t>(offsets[i]) & 511) << 37;
    EXPECT_EQ(packed[i], upper | (std::bit_cast<uint32_t>(scales[i]) >> 13 << 13));
  }
}

TEST_F(Quant, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {3, 5}, 1), y = Tensor::output(ACL_INT8, {3, 5});
  const Tensor scale = Tensor::output(ACL_FLOAT, {3}), two = Tensor::output(ACL_FLOAT, {2});
  const Tensor whole = Tensor::random(ACL_FLOAT, {3, 5}, 1), ends(ACL_INT32, {1}, {3});
  EXPECT_REFUSED(161002, "argument x: got FLOAT [3, 5], but Ascend910B3 supports FLOAT16, BF16",
                 aclnnDynamicQuant, whole, nullptr, y, scale);
  EXPECT_REFUSED(161002, "argument scaleOut: got FLOAT [2], expected shape [3]", aclnnDynamicQuant,
                 x, nullptr, y, two);
  EXPECT_REFUSED(161002, "argument dstType: got 4, expected 2 (INT8)", aclnnDynamicQuantV2, x,
                 nullptr, nullptr, 4, y, scale, nullptr);
  EXPECT_REFUSED(161002, "groupIndexOptional: it needs smoothScalesOptional", aclnnDynamicQuantV2,
                 x, nullptr, ends, 2, y, scale, nullptr);
  EXPECT_REFUSED(161002, "argument roundMode: got away", aclnnAscendQuant, whole, two, nullptr,
                 false, "away", 2, y);
  EXPECT_REFUSED(161002, "argument scale: got FLOAT [2], expected 1 or 5 elements",
                 aclnnAscendQuant, whole, two, nullptr, false, "round", 2, y);
}

}  // namespace
}  // namespace emulator_test
