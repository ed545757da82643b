// Linears of every weight format on every instruction set, through pack() and linear(), against the
// reference operators; integers exactly, floats within the error of an fp32 sum.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/float_types.h"
#include "device/cpu/linear.h"
#include "device/cpu/packed_weight.h"
#include "device/reference/reference_ops.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

template <class T, class Make>
std::vector<T> filled(int64_t count, Make make) {
  std::vector<T> values(at(count));
  for (T& value : values) value = make();
  return values;
}

// A random part; int8 and int4 weights include their most negative value.
WeightPart random_part(WeightFormat format, int64_t rows, int64_t columns, int64_t group,
                       Random& random) {
  const Shape shape{rows, columns};
  const int64_t count = rows * columns;
  const float deviation = 1 / std::sqrt(static_cast<float>(columns));
  const auto scale = [&] { return round_to_bf16(0.01f + std::abs(random.normal(0.01f))); };
  switch (format) {
    case WeightFormat::f32:
      return {format,
              rows,
              columns,
              make_tensor(DType::f32, shape, random.normals(count, deviation)),
              {}};
    case WeightFormat::f16:
      return {format,
              rows,
              columns,
              make_tensor(
                  DType::f16, shape,
                  filled<uint16_t>(count, [&] { return float_to_fp16(random.normal(deviation)); })),
              {}};
    case WeightFormat::bf16:
      return {format,
              rows,
              columns,
              make_tensor(
                  DType::bf16, shape,
                  filled<uint16_t>(count, [&] { return float_to_bf16(random.normal(deviation)); })),
              {}};
    case WeightFormat::w8a8:
      return {format, rows, columns,
              make_tensor(DType::i8, shape,
                          filled<int8_t>(count,
                                         [&] {
                                           const int64_t v = random.between(-160, 127);
                                           return static_cast<int8_t>(std::max<int64_t>(v, -128));
                                         })),
              make_tensor(DType::f32, {rows}, filled<float>(rows, scale))};
    default: {
      const int64_t bytes = rows * ceil_div(columns, 2);
      const int64_t groups = ceil_div(columns, group);
      return {format,
              rows,
              columns,
              make_tensor(DType::i4, {rows, 2 * ceil_div(columns, 2)},
                          filled<uint8_t>(
                              bytes, [&] { return static_cast<uint8_t>(random.between(0, 255)); })),
              make_tensor(DType::f32, {rows, groups}, filled<float>(rows * groups, scale)),
              group};
    }
  }
}

// Σ |x · w| of one output, to which the rounding error of any order of summation is proportional.
double magnitude(std::span<const float> x, const WeightPart& part, int64_t row) {
  double sum = 0;
  for (int64_t k = 0; k < part.columns; ++k) {
    sum += std::abs(static_cast<double>(x[at(k)]) *
                    static_cast<double>(reference::weight_value(part, row, k)));
  }
  return sum;
}

struct Problem {
  int64_t rows;
  int64_t columns;
  Weight weight;
  std::vector<float> x;
  std::vector<float> bias;  // may be empty

  int64_t outputs() const {
    int64_t sum = 0;
    for (const WeightPart& part : weight.parts) sum += part.rows;
    return sum;
  }
  std::span<const float> row(int64_t r) const {
    return std::span(x).subspan(at(r * columns), at(columns));
  }
};

std::vector<float> run_linear(const Problem& p, const KernelTable& kernels, int threads) {
  ThreadPool pool(threads);
  auto packed = pack(p.weight, 1, "test", kernels, pool);
  EXPECT_TRUE(packed.has_value());
  auto scratch = LinearScratch::allocate(p.rows, p.columns, threads);
  // A guard column shows writes beyond the last output.
  const int64_t stride = p.outputs() + 1;
  std::vector<float> y(at(p.rows * stride), 123.0f);
  linear(kernels, pool, *scratch, packed->experts[0], p.x.data(), p.columns, p.rows,
         p.bias.empty() ? nullptr : p.bias.data(), y.data(), stride);
  std::vector<float> result;
  for (int64_t r = 0; r < p.rows; ++r) {
    EXPECT_EQ(y[at(r * stride + p.outputs())], 123.0f);
    result.insert(result.end(), y.begin() + r * stride, y.begin() + r * stride + p.outputs());
  }
  return result;
}

void expect_matches_reference(const Problem& p, const std::vector<float>& y) {
  const int64_t outputs = p.outputs();
  for (int64_t r = 0; r < p.rows; ++r) {
    std::vector<float> expected(at(outputs));
    reference::linear_row(p.row(r), p.weight, p.bias, expected);
    int64_t n = 0;
    for (const WeightPart& part : p.weight.parts) {
      const bool integers = part.format == WeightFormat::w8a8 || part.format == WeightFormat::w4a8;
      for (int64_t i = 0; i < part.rows; ++i, ++n) {
        const float actual = y[at(r * outputs + n)];
        if (integers) {
          ASSERT_EQ(actual, expected[at(n)]) << "row " << r << " output " << n;
        } else {
          const double tolerance = 2e-7 * (2 + std::sqrt(static_cast<double>(p.columns))) *
                                       magnitude(p.row(r), part, i) +
                                   1e-6 * std::abs(static_cast<double>(expected[at(n)])) + 1e-30;
          ASSERT_TRUE(near(actual, expected[at(n)], 0, tolerance))
              << "row " << r << " output " << n;
        }
      }
    }
  }
}

using Format = std::tuple<InstructionSet, WeightFormat>;

class Linears : public testing::TestWithParam<Format> {
 protected:
  void SetUp() override {
    const InstructionSet& isa = std::get<0>(GetParam());
    if (!isa.missing.empty()) GTEST_SKIP() << "not run: this machine lacks " << isa.missing;
  }
  const KernelTable& kernels() const { return *std::get<0>(GetParam()).kernels; }
  WeightFormat format() const { return std::get<1>(GetParam()); }
  int64_t random_group(Random& random) const {
    const int64_t groups[] = {32, 64, 128, 4096};
    return groups[random.between(0, 3)];
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, Linears,
                         testing::Combine(testing::ValuesIn(instruction_sets()),
                                          testing::Values(WeightFormat::f32, WeightFormat::f16,
                                                          WeightFormat::bf16, WeightFormat::w8a8,
                                                          WeightFormat::w4a16, WeightFormat::w4a8)),
                         [](const testing::TestParamInfo<Format>& instance) {
                           return std::string(std::get<0>(instance.param).kernels->name) + "_" +
                                  std::string(name(std::get<1>(instance.param)));
                         });

TEST_P(Linears, RandomShapesMatchTheReference) {
  Random random(11);
  for (int i = 0; i < 36; ++i) {
    const int64_t rows = i % 3 == 0 ? 1 : random.between(1, 30);
    const int64_t columns = random.between(1, 260);
    const int64_t outputs = random.between(1, 150);
    Problem p = {rows, columns, {}, random.normals(rows * columns), {}};
    p.weight.parts.push_back(random_part(format(), outputs, columns, random_group(random), random));
    if (i % 2 == 0) p.bias = random.normals(outputs);
    SCOPED_TRACE(testing::Message() << rows << "x" << outputs << "x" << columns);
    expect_matches_reference(p, run_linear(p, kernels(), 1 + i % 3));
    if (HasFatalFailure()) return;
  }
}

TEST_P(Linears, ManyRowsMatchTheReference) {
  Random random(12);
  Problem p = {211, 160, {}, random.normals(211 * 160), {}};
  p.weight.parts.push_back(random_part(format(), 130, 160, 64, random));
  expect_matches_reference(p, run_linear(p, kernels(), 2));
}

TEST_P(Linears, ZeroRowsGiveTheBias) {
  Random random(13);
  Problem p = {3, 96, {}, random.normals(3 * 96), random.normals(70)};
  std::fill(p.x.begin() + 96, p.x.begin() + 192, 0.0f);
  p.weight.parts.push_back(random_part(format(), 70, 96, 32, random));
  const auto y = run_linear(p, kernels(), 1);
  for (int64_t n = 0; n < 70; ++n) ASSERT_EQ(y[at(70 + n)], p.bias[at(n)]);
  expect_matches_reference(p, y);
}

TEST_P(Linears, HugeAndTinyActivations) {
  Random random(14);
  Problem p = {4, 64, {}, random.normals(4 * 64), {}};
  for (size_t i = 0; i < 64; ++i) {
    p.x[i] *= 1e30f;
    p.x[64 + i] *= 1e-30f;
  }
  p.x[128] = 1e20f;  // an outlier silences the rest of its row
  p.weight.parts.push_back(random_part(format(), 65, 64, 32, random));
  expect_matches_reference(p, run_linear(p, kernels(), 1));
}

TEST_P(Linears, ANaNStaysInItsRow) {
  Random random(15);
  Problem p = {3, 64, {}, random.normals(3 * 64), {}};
  Problem clean = p;
  p.x[70] = std::numeric_limits<float>::quiet_NaN();
  p.weight.parts.push_back(random_part(format(), 64, 64, 32, random));
  clean.weight = p.weight;
  const auto y = run_linear(p, kernels(), 1);
  const auto expected = run_linear(clean, kernels(), 1);
  for (size_t n = 0; n < 64; ++n) {
    ASSERT_EQ(y[n], expected[n]);
    ASSERT_TRUE(std::isnan(y[64 + n]));
    ASSERT_EQ(y[128 + n], expected[128 + n]);
  }
}

// A row alone, in any batch and on any number of threads: the same bits.
TEST_P(Linears, RowsDoNotDependOnTheBatch) {
  Random random(16);
  const int64_t columns = 515;
  Problem p = {131, columns, {}, random.normals(131 * columns), random.normals(150)};
  p.weight.parts.push_back(random_part(format(), 150, columns, 128, random));
  const auto all = run_linear(p, kernels(), 2);
  for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 11, 13, 64, 100}) {
    const int64_t first = random.between(0, 131 - rows);
    Problem part = p;
    part.rows = rows;
    part.x.assign(p.x.begin() + first * columns, p.x.begin() + (first + rows) * columns);
    for (const int threads : {1, 3}) {
      const auto some = run_linear(part, kernels(), threads);
      ASSERT_EQ(std::memcmp(some.data(), all.data() + first * 150, some.size() * sizeof(float)), 0)
          << rows << " rows, " << threads << " threads";
    }
  }
}

class MixedParts : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Isa, MixedParts, testing::ValuesIn(instruction_sets()), isa_name);

TEST_P(MixedParts, OneWeightOfSeveralFormats) {
  Random random(17);
  Problem p = {9, 128, {}, random.normals(9 * 128), {}};
  const WeightFormat formats[] = {WeightFormat::bf16, WeightFormat::w8a8,  WeightFormat::w8a8,
                                  WeightFormat::w4a8, WeightFormat::w4a16, WeightFormat::f32};
  for (const WeightFormat format : formats) {
    p.weight.parts.push_back(random_part(format, random.between(1, 90), 128, 32, random));
  }
  p.bias = random.normals(p.outputs());
  expect_matches_reference(p, run_linear(p, kernels(), 2));
}

TEST_P(MixedParts, MostNegativeWeights) {
  const int64_t columns = 300;
  for (const float sign : {1.0f, -1.0f}) {
    Problem p = {2, columns, {}, std::vector<float>(600, sign), {}};
    p.weight.parts.push_back(
        {WeightFormat::w8a8, 65, columns,
         make_tensor(DType::i8, {65, columns}, std::vector<int8_t>(65 * 300, -128)),
         make_tensor(DType::f32, {65}, std::vector<float>(65, 1.0f))});
    const auto y = run_linear(p, kernels(), 1);
    const float expected = -128.0f * 127 * 300 * (1.0f / 127) * sign;
    for (const float v : y) ASSERT_FLOAT_EQ(v, expected);
    expect_matches_reference(p, y);
  }
}

TEST_P(MixedParts, DeepInt8SumsStayExact) {
  const int64_t columns = 131072;  // the largest depth: 127 · 128 · K just below 2^31
  for (const int8_t weight : {int8_t{-128}, int8_t{127}}) {
    Problem p = {1, columns, {}, std::vector<float>(at(columns), 1.0f), {}};
    p.weight.parts.push_back(
        {WeightFormat::w8a8, 2, columns,
         make_tensor(DType::i8, {2, columns}, std::vector<int8_t>(at(2 * columns), weight)),
         make_tensor(DType::f32, {2}, std::vector<float>(2, 1.0f))});
    const auto y = run_linear(p, kernels(), 1);
    ASSERT_EQ(y[0], static_cast<float>(int64_t{weight} * 127 * columns) * 1.0f * (1.0f / 127));
  }
}

TEST_P(MixedParts, RefusesWhatItCannotCompute) {
  Random random(18);
  ThreadPool pool(1);
  Weight odd;
  odd.parts.push_back(random_part(WeightFormat::w4a8, 4, 100, 40, random));
  const auto group = pack(odd, 1, "layers.0.qkv", kernels(), pool);
  ASSERT_FALSE(group.has_value());
  EXPECT_EQ(group.error().code, ErrorCode::unsupported);
  EXPECT_THAT(group.error().message, testing::HasSubstr("layers.0.qkv"));
  Weight deep;
  deep.parts.push_back(random_part(WeightFormat::w8a8, 1, 131073, 0, random));
  const auto depth = pack(deep, 1, "down", kernels(), pool);
  ASSERT_FALSE(depth.has_value());
  EXPECT_EQ(depth.error().code, ErrorCode::unsupported);
}

TEST_P(MixedParts, QuantisedTokensEqualTheReference) {
  Random random(19);
  for (int i = 0; i < 300; ++i) {
    const int64_t n = random.between(1, 400);
    const int64_t group = i % 3 == 0 ? 416 : 32 * random.between(1, 4);
    const int64_t padded = round_up(n, 8);
    const auto x = random.normals(n, std::exp(random.normal(10)));
    std::vector<int8_t> expected;
    const float scale = reference::quantise_token(x, expected);
    std::vector<std::byte> q(at(padded * kernels().int8_activation_bytes));
    std::vector<int32_t> sums(at(ceil_div(padded, group)), -1);
    ASSERT_EQ(kernels().quantise_row(x.data(), n, padded, group, q.data(), sums.data()), scale);
    std::vector<int32_t> expected_sums(sums.size(), 0);
    for (int64_t k = 0; k < padded; ++k) {
      int value = std::to_integer<int8_t>(q[at(k)]);
      if (kernels().int8_activation_bytes == 2) {
        int16_t wide = 0;
        std::memcpy(&wide, q.data() + 2 * k, 2);
        value = wide;
      }
      ASSERT_EQ(value, k < n ? expected[at(k)] : 0);
      expected_sums[at(k / group)] += value;
    }
    ASSERT_EQ(sums, expected_sums);
  }
}

}  // namespace
}  // namespace lotse::cpu
