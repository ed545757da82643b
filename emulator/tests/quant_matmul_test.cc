// Products with quantised operands: integer sums are exact, scales are applied in order.
#include "aclnnop/quant_matmul.h"

#include <cmath>

#include "aclnnop/matmul.h"
#include "aclnnop/quant.h"
#include "packed.h"
#include "support.h"

namespace emulator_test {
namespace {

class QuantMatmul : public DeviceTest {};
class WeightQuantMatmul : public DeviceTest {};

// [rows, columns] with the dimensions as asked: transposed in its shape.
Tensor integers(int64_t rows, int64_t columns, uint32_t seed, bool transposed, bool scattered) {
  const Shape dims = transposed ? Shape{columns, rows} : Shape{rows, columns};
  return Tensor::random(ACL_INT8, dims, seed, scattered, -128, 127);
}

double element(const Tensor& x, int64_t row, int64_t column, bool transposed) {
  return transposed ? x.at({column, row}) : x.at({row, column});
}

double sum_of(const Tensor& a, const Tensor& b, const Shape& at, bool t1, bool t2) {
  const int64_t k = a.dims()[t1 ? 0 : 1];
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += element(a, at[0], i, t1) * element(b, i, at[1], t2);
  return sum;
}

// The scales' products round in FLOAT, in this order.
double scaled(double sum, double scale, double token, double bias = 0) {
  const float first = static_cast<float>(sum) * static_cast<float>(scale);
  return static_cast<double>(first * static_cast<float>(token) + static_cast<float>(bias));
}

constexpr int64_t kShapes[][3] = {{1, 1, 1}, {3, 65, 7}, {17, 130, 70}, {1, 1040, 131}};

TEST_F(QuantMatmul, ScalesOfTokensAndColumnsRoundOnce) {
  for (const auto& [m, k, n] : kShapes) {
    for (int layout = 0; layout < 8; ++layout) {
      const bool t1 = layout % 2 == 1, t2 = layout / 2 % 2 == 1, scattered = layout / 4 == 1;
      for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
        SCOPED_TRACE(testing::Message() << m << " " << k << " " << n << " " << layout << dtype);
        const Tensor a = integers(m, k, 1, t1, scattered), b = integers(k, n, 2, t2, scattered);
        const Tensor scale = Tensor::random(ACL_FLOAT, {n}, 3, false, 1e-3, 2e-3);
        const Tensor token = Tensor::random(ACL_FLOAT, {m}, 4, false, 1e-3, 2e-3);
        const Tensor bias = Tensor::random(ACL_FLOAT, {n}, 5);
        const Tensor out = Tensor::output(dtype, {m, n}, scattered);
        RUN(aclnnQuantMatmulV4, a, b, scale, nullptr, token, bias, t1, t2, out);
        expect_values(
            out,
            [&](const Shape& at) {
              return rounded(dtype, scaled(sum_of(a, b, at, t1, t2), scale.at({at[1]}),
                                           token.at({at[0]}), bias.at({at[1]})));
            },
            0);
      }
    }
  }
}

TEST_F(QuantMatmul, ResultsOfEveryType) {
  const Tensor a = integers(5, 40, 1, false, false), b = integers(40, 9, 2, false, false);
  const Tensor bias = Tensor::random(ACL_INT32, {9}, 3, false, -1000, 1000);
  const Tensor scale = Tensor::random(ACL_FLOAT, {9}, 4, false, 1e-4, 1e-3);
  const Tensor offset = Tensor::random(ACL_FLOAT, {9}, 5, false, -20, 20);
  const Tensor packed = Tensor::output(ACL_UINT64, {9});
  RUN(aclnnTransQuantParamV2, scale, nullptr, packed);
  const auto whole = [&](const Shape& at) {
    return sum_of(a, b, at, false, false) + bias.at({at[1]});
  };
  const auto cut = [](double value) {  // the scale's upper 19 bits
    return std::bit_cast<float>(std::bit_cast<uint32_t>(static_cast<float>(value)) & 0xffffe000u);
  };
  const Tensor exact = Tensor::output(ACL_INT32, {5, 9}, true);
  RUN(aclnnQuantMatmulV4, a, b, scale, nullptr, nullptr, bias, false, false, exact);
  expect_values(exact, whole, 0);
  const Tensor half = Tensor::output(ACL_FLOAT16, {5, 9});
  RUN(aclnnQuantMatmulV3, a, b, packed, nullptr, bias, false, false, half);
  expect_values(
      half,
      [&](const Shape& at) {
        return rounded(ACL_FLOAT16, scaled(whole(at), cut(scale.at({at[1]})), 1));
      },
      0);
  const Tensor byte = Tensor::output(ACL_INT8, {5, 9});
  RUN(aclnnQuantMatmulV3, a, b, packed, offset, bias, false, false, byte);
  expect_values(
      byte,
      [&](const Shape& at) {
        const float value = static_cast<float>(scaled(whole(at), cut(scale.at({at[1]})), 1)) +
                            static_cast<float>(offset.at({at[1]}));
        return static_cast<double>(std::min(std::max(std::nearbyint(value), -128.0f), 127.0f));
      },
      0);
  const Tensor brain = Tensor::output(ACL_BF16, {5, 9}), one = Tensor::random(ACL_BF16, {1}, 6);
  RUN(aclnnQuantMatmulV3, a, b, one, nullptr, nullptr, false, false, brain);
  expect_values(
      brain,
      [&](const Shape& at) {
        return rounded(ACL_BF16, scaled(sum_of(a, b, at, false, false), one.at({0}), 1));
      },
      0);
}

TEST_F(QuantMatmul, OffsetsComeWithPackedScalesToo) {
  const Tensor a(ACL_INT8, {1, 2}, {3, 4}), b(ACL_INT8, {2, 2}, {1, 2, 3, 4});
  const Tensor scale(ACL_FLOAT, {1}, {0.5}), offset(ACL_FLOAT, {1}, {-7});
  const Tensor packed = Tensor::output(ACL_UINT64, {1}), out = Tensor::output(ACL_INT8, {1, 2});
  RUN(aclnnTransQuantParamV2, scale, offset, packed);
  RUN(aclnnQuantMatmulV4, a, b, packed, nullptr, nullptr, nullptr, false, false, out);
  EXPECT_THAT(out.fetch(), testing::ElementsAre(0, 4));  // 15 / 2 - 7 and 22 / 2 - 7, half to even
}

TEST_F(QuantMatmul, BatchesBroadcast) {
  const Tensor a = Tensor::random(ACL_INT8, {3, 1, 5, 8}, 1, true, -128, 127);
  const Tensor b = Tensor::random(ACL_INT8, {2, 8, 7}, 2, false, -128, 127);
  const Tensor scale = Tensor::random(ACL_FLOAT, {1}, 3, false, 1e-3, 2e-3);
  const Tensor out = Tensor::output(ACL_INT32, {3, 2, 5, 7});
  RUN(aclnnQuantMatmulV4, a, b, scale, nullptr, nullptr, nullptr, false, false, out);
  expect_values(
      out,
      [&](const Shape& at) {
        double sum = 0;
        for (int64_t i = 0; i < 8; ++i) {
          sum += a.at({at[0], 0, at[2], i}) * b.at({at[1], i, at[3]});
        }
        return sum;
      },
      0);
}

TEST_F(QuantMatmul, FractalWeights) {
  const int64_t m = 3, k = 50, n = 70;
  const Tensor a = integers(m, k, 1, false, false), scale = Tensor::random(ACL_FLOAT, {n}, 3);
  const Tensor out = Tensor::output(ACL_INT32, {m, n});
  for (const bool t2 : {false, true}) {
    const Tensor b = integers(k, n, 2, t2, false);
    const int64_t rows = b.dims()[0], columns = b.dims()[1];
    std::vector<int8_t> matrix;
    for (const double value : b.values()) matrix.push_back(static_cast<int8_t>(value));
    const auto storage = fractal_storage(matrix, rows, columns, 32);
    const Memory memory(storage.size());
    ASSERT_EQ(aclrtMemcpy(memory.get(), storage.size(), storage.data(), storage.size(),
                          ACL_MEMCPY_HOST_TO_DEVICE),
              0);
    const Shape blocks = {(columns + 31) / 32, (rows + 15) / 16, 16, 32};
    aclTensor* weight = aclCreateTensor(b.dims().data(), 2, ACL_INT8, nullptr, 0,
                                        ACL_FORMAT_FRACTAL_NZ, blocks.data(), 4, memory.get());
    RUN(aclnnQuantMatmulV4, a, weight, scale, nullptr, nullptr, nullptr, false, t2, out);
    expect_values(out, [&](const Shape& at) { return sum_of(a, b, at, false, t2); }, 0);
    aclDestroyTensor(weight);
  }
}

// aclnnNpuFormatCast of [rows, columns] INT8; the result's tensor has the dims and strides given.
struct FractalWeight {
  FractalWeight(const Tensor& source, const Shape& dims, const Shape& strides) : memory(1 << 16) {
    int64_t* storage = nullptr;
    uint64_t rank = 0;
    int format = 0;
    EXPECT_EQ(aclnnNpuFormatCastCalculateSizeAndFormat(source, ACL_FORMAT_FRACTAL_NZ,
                                                       source.dtype(), &storage, &rank, &format),
              0)
        << recent_error();
    shape.assign(storage, storage + rank);
    delete[] storage;
    const Shape& plain = source.dims();
    const auto make = [&](const Shape& view, const Shape& steps) {
      return aclCreateTensor(view.data(), view.size(), source.dtype(),
                             steps.empty() ? nullptr : steps.data(), 0,
                             static_cast<aclFormat>(format), shape.data(), rank, memory.get());
    };
    aclTensor* whole = make(plain, {});
    EXPECT_EQ(run(aclnnNpuFormatCastGetWorkspaceSize, aclnnNpuFormatCast, source, whole), 0)
        << recent_error();
    aclDestroyTensor(whole);
    tensor = make(dims, strides);
  }
  ~FractalWeight() { aclDestroyTensor(tensor); }
  FractalWeight(const FractalWeight&) = delete;
  FractalWeight& operator=(const FractalWeight&) = delete;
  Memory memory;
  Shape shape;
  aclTensor* tensor = nullptr;
};

TEST_F(QuantMatmul, WeightNzTakesCastWeightsOfBothOrders) {
  const int64_t m = 3, k = 50, n = 70;
  const Tensor a = integers(m, k, 1, false, false);
  const Tensor scale = Tensor::random(ACL_FLOAT, {n}, 3, false, 1e-3, 2e-3);
  const Tensor token = Tensor::random(ACL_FLOAT, {m}, 4, false, 1e-3, 2e-3);
  for (const bool t2 : {false, true}) {
    const Tensor b = integers(k, n, 2, t2, true);
    const FractalWeight weight(b, b.dims(), {});
    EXPECT_EQ(weight.shape, t2 ? Shape({2, 5, 16, 32}) : Shape({3, 4, 16, 32}));
    const Tensor out = Tensor::output(ACL_BF16, {m, n}), sums = Tensor::output(ACL_INT32, {m, n});
    RUN(aclnnQuantMatmulWeightNz, a, weight.tensor, token, scale, nullptr, nullptr, nullptr,
        nullptr, nullptr, false, t2, 0, out);
    const auto sum = [&](const Shape& at) { return sum_of(a, b, at, false, t2); };
    expect_values(
        out,
        [&](const Shape& at) {
          return rounded(ACL_BF16, scaled(sum(at), scale.at({at[1]}), token.at({at[0]})));
        },
        0);
    RUN(aclnnQuantMatmulWeightNz, a, weight.tensor, nullptr, scale, nullptr, nullptr, nullptr,
        nullptr, nullptr, false, t2, 0, sums);
    expect_values(sums, sum, 0);
    EXPECT_REFUSED(161002, "expected FRACTAL_NZ", aclnnQuantMatmulWeightNz, a, b, token, scale,
                   nullptr, nullptr, nullptr, nullptr, nullptr, false, t2, 0, out);
    const Tensor back = Tensor::output(ACL_INT8, b.dims(), true);
    RUN(aclnnNpuFormatCast, weight.tensor, back);
    EXPECT_EQ(back.fetch(), b.values());
  }
}

TEST_F(QuantMatmul, WeightNzOfFloats) {
  const int64_t m = 3, k = 33, n = 70;
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    const Tensor a = Tensor::random(dtype, {m, k}, 1), b = Tensor::random(dtype, {n, k}, 2);
    const FractalWeight weight(b, {k, n}, {1, k});
    EXPECT_EQ(weight.shape, Shape({3, 5, 16, 16}));
    const Tensor out = Tensor::output(dtype, {m, n});
    RUN(aclnnMatmulWeightNz, a, weight.tensor, out, int8_t{0});
    expect_values(
        out,
        [&](const Shape& at) {
          double sum = 0;
          for (int64_t i = 0; i < k; ++i) sum += a.at({at[0], i}) * b.at({at[1], i});
          return sum;
        },
        1.01, 1e-4);
    const Tensor plain = Tensor::random(dtype, {k, n}, 2);
    EXPECT_REFUSED(161002, "expected FRACTAL_NZ", aclnnMatmulWeightNz, a, plain, out, int8_t{0});
  }
}

std::vector<int> nibbles(const Tensor& values) {
  std::vector<int> result;
  for (const double value : values.values()) result.push_back(static_cast<int>(value));
  return result;
}

TEST_F(QuantMatmul, Int4ByInt4PlainAndPacked) {
  const int64_t m = 5, k = 24, n = 16;
  const Tensor a = Tensor::random(ACL_INT8, {m, k}, 1, false, -8, 7);
  for (const bool t2 : {false, true}) {
    const Tensor b = Tensor::random(ACL_INT8, t2 ? Shape{n, k} : Shape{k, n}, 2, false, -8, 7);
    const Tensor scale = Tensor::random(ACL_FLOAT, {n}, 3), out = Tensor::output(ACL_INT32, {m, n});
    for (const bool packed : {false, true}) {
      const aclDataType type = packed ? ACL_INT32 : ACL_INT4;
      const int64_t eight = packed ? 8 : 1;
      const Int4 x1(nibbles(a), type, {m, k / eight});
      const Int4 x2(nibbles(b), type, {b.dims()[0], b.dims()[1] / eight});
      RUN(aclnnQuantMatmulV4, x1.tensor, x2.tensor, scale, nullptr, nullptr, nullptr, false, t2,
          out);
      expect_values(out, [&](const Shape& at) { return sum_of(a, b, at, false, t2); }, 0);
    }
  }
}

TEST_F(QuantMatmul, Refusals) {
  const Tensor a = integers(3, 8, 1, false, false), b = integers(8, 5, 2, false, false);
  const Tensor scale = Tensor::random(ACL_FLOAT, {5}, 3), four = Tensor::random(ACL_FLOAT, {4}, 3);
  const Tensor token = Tensor::random(ACL_FLOAT, {3}, 3),
               half = Tensor::output(ACL_FLOAT16, {3, 5});
  const Tensor brain = Tensor::output(ACL_BF16, {3, 5}), byte = Tensor::output(ACL_INT8, {3, 5});
  const Tensor bf_scale = Tensor::random(ACL_BF16, {5}, 3);
  EXPECT_REFUSED(
      161002,
      "argument scale: got FLOAT [5], but FLOAT16 results need a scale of INT64, UINT64, "
      "which aclnnTransQuantParamV2 makes",
      aclnnQuantMatmulV4, a, b, scale, nullptr, nullptr, nullptr, false, false, half);
  EXPECT_REFUSED(161002,
                 "argument scale: got BF16 [5], but FLOAT16 results with a scale for each "
                 "token need a scale of FLOAT",
                 aclnnQuantMatmulV4, a, b, bf_scale, nullptr, token, nullptr, false, false, half);
  EXPECT_REFUSED(161002, "argument scale: got FLOAT [4], expected 1 or 5 elements, one a column",
                 aclnnQuantMatmulV4, a, b, four, nullptr, nullptr, nullptr, false, false, brain);
  EXPECT_REFUSED(161002, "argument pertokenScaleOptional: got FLOAT [5], expected shape [3]",
                 aclnnQuantMatmulV4, a, b, scale, nullptr, scale, nullptr, false, false, brain);
  EXPECT_REFUSED(161002, "argument x2: got INT8 [8, 5] with transposeX2 true, but x1 INT8 [3, 8]",
                 aclnnQuantMatmulV4, a, b, scale, nullptr, nullptr, nullptr, false, true, brain);
  EXPECT_REFUSED(161002,
                 "argument bias: got FLOAT [5], but these results take a bias of BF16, INT32",
                 aclnnQuantMatmulV4, a, b, scale, nullptr, nullptr, scale, false, false, brain);
  EXPECT_REFUSED(161002, "argument offset: BF16 results have none", aclnnQuantMatmulV4, a, b, scale,
                 scale, nullptr, nullptr, false, false, brain);
  EXPECT_REFUSED(161002, "argument scale: got FLOAT [5], but INT8 results", aclnnQuantMatmulV3, a,
                 b, scale, nullptr, nullptr, false, false, byte);
}

// What a weight quantised by groups stands for, rounded to the type of x.
double weight_at(const Tensor& w, const Tensor& scale, const Tensor* offset, int64_t group,
                 int64_t k, int64_t n) {
  const Shape at = {k / group, n};
  const float whole = static_cast<float>(w.at({k, n})) +
                      (offset == nullptr ? 0.0f : static_cast<float>(offset->at(at)));
  return rounded(scale.dtype(), static_cast<double>(whole * static_cast<float>(scale.at(at))));
}

double weighted_sum(const Tensor& x, const Tensor& w, const Tensor& scale, const Tensor* offset,
                    int64_t group, const Shape& at) {
  double sum = 0;
  for (int64_t k = 0; k < x.dims()[1]; ++k) {
    sum += x.at({at[0], k}) * weight_at(w, scale, offset, group, k, at[1]);
  }
  return sum;
}

TEST_F(WeightQuantMatmul, Int8OverGroupsAndStrides) {
  struct Case {
    int64_t m, k, n;
    int group;
    Shape scale;
  };
  const Case cases[] = {{3, 33, 7, 0, {7}},
                        {1, 65, 70, 0, {1, 70}},
                        {4, 20, 9, 0, {1}},
                        {5, 130, 66, 32, {5, 66}},
                        {2, 512, 65, 128, {4, 65}}};
  for (const Case& c : cases) {
    for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
      for (int layout = 0; layout < 4; ++layout) {
        SCOPED_TRACE(testing::Message() << c.k << " group " << c.group << " " << dtype << layout);
        const Tensor x = Tensor::random(dtype, {c.m, c.k}, 1, layout % 2 == 1);
        const Tensor w = Tensor::random(ACL_INT8, {c.k, c.n}, 2, layout / 2 == 1, -128, 127);
        const Tensor scale = Tensor::random(dtype, c.scale, 3, false, 0.01, 0.02);
        const Tensor offset = Tensor::random(dtype, c.scale, 4, false, -9, 9);
        const Tensor bias = Tensor::random(dtype == ACL_BF16 ? ACL_FLOAT : ACL_FLOAT16, {c.n}, 5);
        const Tensor y = Tensor::output(dtype, {c.m, c.n}, layout == 3);
        const int64_t group = c.group == 0 ? c.k : c.group;
        const double error = 2e-6 * static_cast<double>(c.k);
        RUN(aclnnWeightQuantBatchMatmulV2, x, w, scale, offset, nullptr, nullptr, bias, c.group, y);
        expect_values(
            y,
            [&](const Shape& at) {
              return weighted_sum(x, w, scale, &offset, group, at) + bias.at({at[1]});
            },
            1.01, error);
        RUN(aclnnWeightQuantBatchMatmulV3, x, w, scale, nullptr, nullptr, nullptr, nullptr, c.group,
            1, y);
        expect_values(
            y, [&](const Shape& at) { return weighted_sum(x, w, scale, nullptr, group, at); }, 1.01,
            error);
      }
    }
  }
}

// [k, n] of numbers as the columns lie in memory.
std::vector<int> by_columns(const Tensor& w) {
  std::vector<int> result;
  for (int64_t n = 0; n < w.dims()[1]; ++n) {
    for (int64_t k = 0; k < w.dims()[0]; ++k) result.push_back(static_cast<int>(w.at({k, n})));
  }
  return result;
}

TEST_F(WeightQuantMatmul, Int4PlainPackedAndTransposed) {
  const int64_t m = 3, k = 96, n = 40;
  const Tensor x = Tensor::random(ACL_BF16, {m, k}, 1);
  const Tensor w = Tensor::random(ACL_INT8, {k, n}, 2, false, -8, 7);
  const Tensor scale = Tensor::random(ACL_BF16, {3, n}, 3, true, 0.01, 0.02);
  const Tensor y = Tensor::output(ACL_BF16, {m, n});
  const Int4 plain(nibbles(w), ACL_INT4, {k, n});
  const Int4 packed(nibbles(w), ACL_INT32, {k, n / 8});
  const Int4 plain_columns(by_columns(w), ACL_INT4, {k, n}, {1, k});
  const Int4 packed_columns(by_columns(w), ACL_INT32, {k / 8, n}, {1, k / 8});
  for (const Int4* weight : {&plain, &packed, &plain_columns, &packed_columns}) {
    RUN(aclnnWeightQuantBatchMatmulV2, x, weight->tensor, scale, nullptr, nullptr, nullptr, nullptr,
        32, y);
    expect_values(
        y, [&](const Shape& at) { return weighted_sum(x, w, scale, nullptr, 32, at); }, 1.01, 1e-5);
  }
}

TEST_F(WeightQuantMatmul, Int4Fractal) {
  const int64_t m = 2, k = 128, n = 64;
  const Tensor x = Tensor::random(ACL_FLOAT16, {m, k}, 1);
  const Tensor w = Tensor::random(ACL_INT8, {k, n}, 2, false, -8, 7);
  const Tensor scale = Tensor::random(ACL_FLOAT16, {2, n}, 3, false, 0.01, 0.02);
  const Tensor y = Tensor::output(ACL_FLOAT16, {m, n});
  const auto storage = fractal_storage(nibbles(w), k, n, 64);
  const Int4 plain(storage, ACL_INT4, {k, n}, {}, {1, k / 16, 16, 64});
  const Int4 packed(storage, ACL_INT32, {k, n / 8}, {}, {1, k / 16, 16, 8});
  for (const Int4* weight : {&plain, &packed}) {
    RUN(aclnnWeightQuantBatchMatmulV2, x, weight->tensor, scale, nullptr, nullptr, nullptr, nullptr,
        64, y);
    expect_values(
        y, [&](const Shape& at) { return weighted_sum(x, w, scale, nullptr, 64, at); }, 1.01, 1e-4);
  }
  EXPECT_REFUSED(161002, "got 32, but a FRACTAL_NZ weight of INT4 takes 64 or 128",
                 aclnnWeightQuantBatchMatmulV2, x, plain.tensor,
                 Tensor::random(ACL_FLOAT16, {4, n}, 3), nullptr, nullptr, nullptr, nullptr, 32, y);
}

TEST_F(WeightQuantMatmul, ResultsMayBeQuantised) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {3, 10}, 1);
  const Tensor w = Tensor::random(ACL_INT8, {10, 6}, 2, false, -9, 9);
  const Tensor scale(ACL_FLOAT16, {6}, {1, 1, 1, 1, 1, 1}), factor(ACL_FLOAT, {1}, {0.5});
  const Tensor shift(ACL_FLOAT, {1}, {3}), y = Tensor::output(ACL_INT8, {3, 6});
  RUN(aclnnWeightQuantBatchMatmulV2, x, w, scale, nullptr, factor, shift, nullptr, 0, y);
  expect_values(
      y,
      [&](const Shape& at) {
        const double sum = weighted_sum(x, w, scale, nullptr, 10, at);
        return std::nearbyint(static_cast<float>(sum) * 0.5f + 3.0f);
      },
      0);
}

TEST_F(WeightQuantMatmul, ConvertsWeightsToPackedInt4) {
  const Tensor w = Tensor::random(ACL_INT32, {5, 24}, 2, false, -8, 7);
  for (const aclDataType type : {ACL_INT4, ACL_INT32}) {
    const Int4 packed(std::vector<int>(120), type, {5, type == ACL_INT4 ? 24 : 3});
    RUN(aclnnConvertWeightToINT4Pack, w, packed.tensor);
    EXPECT_EQ(packed.fetch(), w.values());
  }
  const Tensor wide = Tensor::random(ACL_INT32, {20, 128}, 2, false, -8, 7);
  const auto storage = fractal_storage(wide.values(), 20, 128, 64);
  for (const bool plain : {false, true}) {
    const Int4 packed(std::vector<int>(storage.size()), plain ? ACL_INT4 : ACL_INT32,
                      {20, plain ? 128 : 16}, {}, {2, 2, 16, plain ? 64 : 8});
    RUN(aclnnConvertWeightToINT4Pack, wide, packed.tensor);
    EXPECT_EQ(packed.fetch(), storage);
  }
  const Tensor odd = Tensor::random(ACL_INT32, {5, 12}, 2);
  const Int4 packed(std::vector<int>(60), ACL_INT4, {5, 12});
  EXPECT_REFUSED(161002, "whose last dimension is no multiple of 8", aclnnConvertWeightToINT4Pack,
                 odd, packed.tensor);
}

TEST_F(WeightQuantMatmul, Refusals) {
  const Tensor x = Tensor::random(ACL_BF16, {2, 64}, 1), y = Tensor::output(ACL_BF16, {2, 6});
  const Tensor w = Tensor::random(ACL_INT8, {64, 6}, 2),
               narrow = Tensor::random(ACL_INT8, {63, 6}, 2);
  const Tensor scale = Tensor::random(ACL_BF16, {6}, 3), half = Tensor::random(ACL_FLOAT16, {6}, 3);
  const Tensor wide = Tensor::random(ACL_INT8, {64, 65536}, 2);
  const auto call = [&](const aclTensor* weight, const aclTensor* s, const aclTensor* bias,
                        int group) {
    return run(aclnnWeightQuantBatchMatmulV2GetWorkspaceSize, aclnnWeightQuantBatchMatmulV2, x,
               weight, s, nullptr, nullptr, nullptr, bias, group, y);
  };
  EXPECT_EQ(call(narrow, scale, nullptr, 0), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("INT8 [63, 6], expected 64 rows, as x BF16"));
  EXPECT_EQ(call(wide, scale, nullptr, 0), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("expected 1 to 65535 of each; split the weight"));
  for (const int group : {-32, 16, 48, 64}) {
    EXPECT_EQ(call(w, scale, nullptr, group), 161002);
    EXPECT_THAT(recent_error(),
                testing::HasSubstr("expected 0 or a multiple of 32 from 32 to k - 1 = 63"));
  }
  EXPECT_EQ(call(w, scale, nullptr, 32), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("BF16 [6], expected shape [2, 6]"));
  EXPECT_EQ(call(w, half, nullptr, 0), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("FLOAT16 [6], expected BF16"));
  EXPECT_EQ(call(w, scale, half, 0), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("FLOAT16 [6], expected FLOAT"));
}

}  // namespace
}  // namespace emulator_test
