// Products of floats against double.
#include "aclnnop/matmul.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

class Matmul : public DeviceTest {};

// cubeMathType
constexpr int8_t kKeep = 0, kHalf = 2;

double same(double x) { return x; }

// Σ over k of f(a) · f(b) for operands of the shapes [… m, k] and [… k, n].
double product(const Tensor& a, const Tensor& b, const Shape& at, double (*f)(double) = same) {
  Shape in_a = at, in_b = at;
  double sum = 0;
  for (int64_t k = 0; k < a.dims().back(); ++k) {
    in_a.back() = k;
    in_b[in_b.size() - 2] = k;
    sum += f(a.at(in_a)) * f(b.at(in_b));
  }
  return sum;
}

// Summing k products of numbers below 2 in FP32 errs by no more than k roundings of the sum of
// their magnitudes, which is below 4 k; in practice far less.
double sum_error(int64_t k) { return 4e-7 * static_cast<double>(k); }

TEST_F(Matmul, MmOverShapesTypesAndStrides) {
  const Shape shapes[] = {{1, 1, 1}, {1, 64, 64}, {3, 7, 5}, {17, 33, 130}, {5, 1100, 67}};
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const Shape& mkn : shapes) {
      for (int layout = 0; layout < 4; ++layout) {
        SCOPED_TRACE(testing::Message() << dtype << testing::PrintToString(mkn) << layout);
        const Tensor a = Tensor::random(dtype, {mkn[0], mkn[1]}, 1, layout % 2 == 1);
        const Tensor b = Tensor::random(dtype, {mkn[1], mkn[2]}, 2, layout / 2 == 1);
        const Tensor out = Tensor::output(dtype, {mkn[0], mkn[2]}, layout == 3);
        RUN(aclnnMm, a, b, out, kKeep);
        expect_values(
            out, [&](const Shape& at) { return product(a, b, at); }, 1.01, sum_error(mkn[1]));
      }
    }
  }
}

TEST_F(Matmul, LargeOnesOnSeveralThreads) {
  const Tensor a = Tensor::random(ACL_FLOAT16, {61, 300}, 1);
  const Tensor b = Tensor::random(ACL_FLOAT16, {300, 1031}, 2);
  const Tensor out = Tensor::output(ACL_FLOAT, {61, 1031});
  RUN(aclnnMm, a, b, out, kKeep);
  expect_values(out, [&](const Shape& at) { return product(a, b, at); }, 1, sum_error(300));
}

TEST_F(Matmul, EmptySumsAreZero) {
  const Tensor a = Tensor::random(ACL_FLOAT, {3, 0}, 1), b = Tensor::random(ACL_FLOAT, {0, 4}, 2);
  const Tensor out = Tensor::output(ACL_FLOAT, {3, 4});
  RUN(aclnnMm, a, b, out, kKeep);
  expect_values(out, [](const Shape&) { return 0; }, 0);
}

TEST_F(Matmul, BatchesBroadcast) {
  const Tensor a = Tensor::random(ACL_FLOAT, {2, 1, 3, 5}, 1, true);
  const Tensor b = Tensor::random(ACL_FLOAT, {4, 5, 6}, 2);
  const Tensor out = Tensor::output(ACL_FLOAT, {2, 4, 3, 6}, true);
  RUN(aclnnMatmul, a, b, out, kKeep);
  expect_values(out, [&](const Shape& at) { return product(a, b, at); }, 1, sum_error(5));
  const Tensor c = Tensor::random(ACL_BF16, {3, 2, 5}, 3),
               d = Tensor::random(ACL_BF16, {3, 5, 9}, 4);
  const Tensor e = Tensor::output(ACL_BF16, {3, 2, 9});
  RUN(aclnnBatchMatMul, c, d, e, kKeep);
  expect_values(e, [&](const Shape& at) { return product(c, d, at); }, 1.01, sum_error(5));
}

TEST_F(Matmul, Vectors) {
  const Tensor a = Tensor::random(ACL_FLOAT, {3, 5}, 1, true),
               v = Tensor::random(ACL_FLOAT, {5}, 2);
  const Tensor w = Tensor::random(ACL_FLOAT, {3}, 3);
  const Tensor rows = Tensor::output(ACL_FLOAT, {3}), columns = Tensor::output(ACL_FLOAT, {5});
  const Tensor one = Tensor::output(ACL_FLOAT, {});
  const auto times_v = [&](const Shape& at) {
    double sum = 0;
    for (int64_t k = 0; k < 5; ++k) sum += a.at({at[0], k}) * v.at({k});
    return sum;
  };
  RUN(aclnnMv, a, v, rows, kKeep);
  expect_values(rows, times_v, 1, sum_error(5));
  RUN(aclnnMatmul, a, v, rows, kKeep);
  expect_values(rows, times_v, 1, sum_error(5));
  RUN(aclnnMatmul, w, a, columns, kKeep);
  expect_values(
      columns,
      [&](const Shape& at) {
        double sum = 0;
        for (int64_t k = 0; k < 3; ++k) sum += a.at({k, at[0]}) * w.at({k});
        return sum;
      },
      1, sum_error(3));
  RUN(aclnnMatmul, v, v, one, kKeep);
  expect_values(
      one,
      [&](const Shape&) {
        double sum = 0;
        for (int64_t k = 0; k < 5; ++k) sum += v.at({k}) * v.at({k});
        return sum;
      },
      1, sum_error(5));
}

// Ten bits of mantissa, as the inputs of HF32 and FLOAT16 have.
double to_ten_bits(double x) {
  const int exponent = x == 0 ? 0 : std::ilogb(x);
  return std::ldexp(std::nearbyint(std::ldexp(x, 10 - exponent)), exponent - 10);
}

TEST_F(Matmul, CubeMathTypeLowersFloat) {
  const Tensor a = Tensor::random(ACL_FLOAT, {7, 40}, 1), b = Tensor::random(ACL_FLOAT, {40, 9}, 2);
  const Tensor out = Tensor::output(ACL_FLOAT, {7, 9});
  for (const int8_t type : {int8_t{1}, int8_t{3}}) {
    RUN(aclnnMm, a, b, out, type);
    expect_values(
        out, [&](const Shape& at) { return product(a, b, at, to_ten_bits); }, 1, sum_error(40));
  }
  RUN(aclnnMm, a, b, out, kHalf);
  expect_values(
      out,
      [&](const Shape& at) {
        return product(a, b, at, [](double x) { return rounded(ACL_FLOAT16, x); });
      },
      1, sum_error(40));
  EXPECT_REFUSED(161002, "argument cubeMathType: got 4", aclnnMm, a, b, out, int8_t{4});
}

TEST_F(Matmul, ShapesAreChecked) {
  const Tensor a = Tensor::random(ACL_FLOAT, {2, 3}, 1), b = Tensor::random(ACL_FLOAT, {4, 5}, 2);
  const Tensor out = Tensor::output(ACL_FLOAT, {2, 5});
  EXPECT_REFUSED(161002, "argument mat2: got FLOAT [4, 5], but self FLOAT [2, 3] has 3 columns",
                 aclnnMm, a, b, out, kKeep);
  EXPECT_REFUSED(161002, "argument self: got FLOAT [2, 3], expected 3 to 3 dimensions",
                 aclnnBatchMatMul, a, b, out, kKeep);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [2, 5], expected shape [3, 3]", aclnnMm,
                 Tensor::random(ACL_FLOAT, {3, 2}, 1), a, out, kKeep);
}

// The storage of a rows × columns matrix, made here: column blocks of 32 bytes, rows padded to 16.
template <class T>
std::vector<T> fractal(const std::vector<T>& matrix, int64_t rows, int64_t columns) {
  const int64_t block = 32 / static_cast<int64_t>(sizeof(T)), padded = (rows + 15) / 16 * 16;
  std::vector<T> storage(static_cast<size_t>((columns + block - 1) / block * padded * block));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      storage[static_cast<size_t>((c / block * padded + r) * block + c % block)] =
          matrix[static_cast<size_t>(r * columns + c)];
    }
  }
  return storage;
}

struct Weight {
  Weight(const Tensor& values, bool transposed) : memory(1 << 20) {
    const int64_t k = values.dims()[0], n = values.dims()[1];
    const int64_t rows = transposed ? n : k, columns = transposed ? k : n;
    std::vector<_Float16> matrix;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        matrix.push_back(static_cast<_Float16>(transposed ? values.at({c, r}) : values.at({r, c})));
      }
    }
    const auto storage = fractal(matrix, rows, columns);
    EXPECT_EQ(aclrtMemcpy(memory.get(), 1 << 20, storage.data(), storage.size() * 2,
                          ACL_MEMCPY_HOST_TO_DEVICE),
              0);
    const int64_t dims[] = {k, n};
    const int64_t strides[] = {transposed ? 1 : n, transposed ? k : 1};
    const int64_t shape[] = {(columns + 15) / 16, (rows + 15) / 16, 16, 16};
    tensor = aclCreateTensor(dims, 2, ACL_FLOAT16, strides, 0, ACL_FORMAT_FRACTAL_NZ, shape, 4,
                             memory.get());
    EXPECT_NE(tensor, nullptr) << recent_error();
  }
  ~Weight() { aclDestroyTensor(tensor); }
  Memory memory;
  aclTensor* tensor;
};

TEST_F(Matmul, FractalWeights) {
  const Shape shapes[] = {{3, 16, 16}, {5, 33, 70}, {1, 100, 130}};
  for (const Shape& mkn : shapes) {
    for (const bool transposed : {false, true}) {
      SCOPED_TRACE(testing::Message() << testing::PrintToString(mkn) << transposed);
      const Tensor a = Tensor::random(ACL_FLOAT16, {mkn[0], mkn[1]}, 1);
      const Tensor b = Tensor::random(ACL_FLOAT16, {mkn[1], mkn[2]}, 2);
      const Weight weight(b, transposed);
      const Tensor out = Tensor::output(ACL_FLOAT16, {mkn[0], mkn[2]});
      RUN(aclnnMm, a, weight.tensor, out, kKeep);
      expect_values(
          out, [&](const Shape& at) { return product(a, b, at); }, 1.01, sum_error(mkn[1]));
      EXPECT_REFUSED(161002, "takes no FRACTAL_NZ here", aclnnExp, weight.tensor, out);
    }
  }
}

TEST_F(Matmul, WeightsAreConvertedInPlace) {
  const int64_t k = 37, n = 21;
  const Ints shape{k, n};
  uint64_t elements = 0;
  ASSERT_EQ(aclnnCalculateMatmulWeightSizeV2(shape, ACL_FLOAT16, &elements), 0) << recent_error();
  ASSERT_EQ(elements, 48 * 32);
  const Memory memory(elements * 2);
  const Tensor a = Tensor::random(ACL_FLOAT16, {4, k}, 1);
  const Tensor b = Tensor::random(ACL_FLOAT16, {k, n}, 2);
  std::vector<_Float16> row_major, stored(elements);
  for (const double value : b.values()) row_major.push_back(static_cast<_Float16>(value));
  ASSERT_EQ(aclrtMemcpy(memory.get(), elements * 2, row_major.data(), row_major.size() * 2,
                        ACL_MEMCPY_HOST_TO_DEVICE),
            0);
  const int64_t dims[] = {k, n};
  aclTensor* weight =
      aclCreateTensor(dims, 2, ACL_FLOAT16, nullptr, 0, ACL_FORMAT_ND, dims, 2, memory.get());
  RUN(aclnnTransMatmulWeight, weight);
  ASSERT_EQ(aclrtMemcpy(stored.data(), elements * 2, memory.get(), elements * 2,
                        ACL_MEMCPY_DEVICE_TO_HOST),
            0);
  EXPECT_EQ(stored, fractal(row_major, k, n));
  const Tensor out = Tensor::output(ACL_FLOAT16, {4, n});
  RUN(aclnnMm, a, weight, out, kKeep);
  expect_values(out, [&](const Shape& at) { return product(a, b, at); }, 1.01, sum_error(k));
  aclDestroyTensor(weight);
}

}  // namespace
}  // namespace emulator_test
