// Reductions against double.
#include "aclnnop/reduce.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "support.h"

namespace emulator_test {
namespace {

class Reduce : public DeviceTest {};

// The sum over `dims` of x, by the position in the result with the reduced dimensions kept.
std::map<Shape, double> sums(const Tensor& x, const std::vector<int64_t>& dims) {
  std::map<Shape, double> result;
  for_each_position(x.dims(), [&](const Shape& at) {
    Shape kept = at;
    for (const int64_t dim : dims) kept[static_cast<size_t>(dim)] = 0;
    result[kept] += x.at(at);
  });
  return result;
}

TEST_F(Reduce, SumsOverAnyDimensions) {
  const std::vector<std::vector<int64_t>> cases = {{0}, {1}, {2}, {0, 2}, {0, 1, 2}};
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_INT64}) {
    for (const auto& dims : cases) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << testing::PrintToString(dims) << scattered);
        const Tensor x = Tensor::random(dtype, {3, 5, 7}, 1, scattered);
        Shape kept = x.dims();
        for (const int64_t dim : dims) kept[static_cast<size_t>(dim)] = 1;
        const Tensor y = Tensor::output(dtype, kept, !scattered);
        RUN(aclnnReduceSum, x, Ints(dims), true, dtype, y);
        const auto expected = sums(x, dims);
        expect_values(y, [&](const Shape& at) { return expected.at(at); });
      }
    }
  }
}

TEST_F(Reduce, DroppedDimensionsNegativeOnesAndOtherTypes) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {4, 3, 2}, 5);
  const Tensor y = Tensor::output(ACL_FLOAT, {4, 3});
  RUN(aclnnReduceSum, x, Ints({-1}), false, ACL_FLOAT, y);
  expect_values(y,
                [&](const Shape& at) { return x.at({at[0], at[1], 0}) + x.at({at[0], at[1], 1}); });
  const auto expected = sums(x, {0, 1, 2});
  for (const Shape& single : {Shape{}, Shape{1}}) {
    const Tensor all = Tensor::output(ACL_FLOAT, single);
    RUN(aclnnReduceSum, x, Ints(std::vector<int64_t>{}), false, ACL_FLOAT, all);
    expect_values(all, [&](const Shape&) { return expected.begin()->second; });
  }
  const Tensor rows = Tensor::output(ACL_FLOAT, {1, 1});
  EXPECT_REFUSED(161002, "argument out: got FLOAT [1, 1], expected shape []", aclnnReduceSum, x,
                 Ints(std::vector<int64_t>{}), false, ACL_FLOAT, rows);
}

TEST_F(Reduce, Means) {
  const Tensor x = Tensor::random(ACL_FLOAT, {6, 35}, 5, true);
  const Tensor y = Tensor::output(ACL_FLOAT, {6});
  RUN(aclnnMean, x, Ints({1}), false, ACL_FLOAT, y);
  const auto expected = sums(x, {1});
  expect_values(y, [&](const Shape& at) { return expected.at({at[0], 0}) / 35; });
}

TEST_F(Reduce, LargeAndEmpty) {
  const Tensor x = Tensor::random(ACL_FLOAT, {40, 2111}, 5);
  const Tensor y = Tensor::output(ACL_FLOAT, {40});
  RUN(aclnnReduceSum, x, Ints({1}), false, ACL_FLOAT, y);
  const auto expected = sums(x, {1});
  expect_values(y, [&](const Shape& at) { return expected.at({at[0], 0}); }, 1.01, 1e-12);
  const Tensor none = Tensor::random(ACL_FLOAT, {40, 0}, 5);
  RUN(aclnnReduceSum, none, Ints({1}), false, ACL_FLOAT, y);
  expect_values(y, [](const Shape&) { return 0; }, 0);
}

// By the definition, of the elements of x at each position of the result.
double norm(const std::vector<double>& values, double p) {
  double total = 0, most = 0, least = INFINITY;
  for (const double value : values) {
    most = std::max(most, std::abs(value));
    least = std::min(least, std::abs(value));
    total += p == 0 ? (value == 0 ? 0 : 1) : std::pow(std::abs(value), p);
  }
  if (std::isinf(p)) return p > 0 ? most : least;
  return p == 0 ? total : std::pow(total, 1 / p);
}

TEST_F(Reduce, Norms) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE}) {
    for (const float p : {0.0f, 1.0f, 2.0f, 3.0f, 0.5f, -1.0f, INFINITY, -INFINITY}) {
      for (const std::vector<int64_t>& dims : {std::vector<int64_t>{-1}, {0, 2}, {}}) {
        for (const bool keep : {false, true}) {
          SCOPED_TRACE(testing::Message() << dtype << " p " << p << testing::PrintToString(dims));
          const Tensor x = Tensor::random(dtype, {4, 5, 6}, 8, keep);
          std::vector<bool> reduced(3, dims.empty());
          for (const int64_t dim : dims) reduced[static_cast<size_t>((dim + 3) % 3)] = true;
          std::map<Shape, std::vector<double>> parts;
          Shape kept;
          for (size_t i = 0; i < 3; ++i) {
            if (!reduced[i] || keep) kept.push_back(reduced[i] ? 1 : x.dims()[i]);
          }
          for_each_position(x.dims(), [&](const Shape& at) {
            Shape to;
            for (size_t i = 0; i < 3; ++i) {
              if (!reduced[i] || keep) to.push_back(reduced[i] ? 0 : at[i]);
            }
            parts[to].push_back(x.at(at));
          });
          const Tensor y = Tensor::output(dtype, kept, !keep);
          RUN(aclnnNorm, x, Scalar(p), Ints(dims), keep, y);
          expect_values(
              y, [&](const Shape& at) { return norm(parts.at(at), static_cast<double>(p)); },
              dtype == ACL_DOUBLE ? 20 : 1.05);
        }
      }
    }
  }
}

TEST_F(Reduce, RunningSums) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_INT64}) {
    for (const size_t dim : {0u, 1u, 2u}) {
      for (const bool scattered : {false, true}) {
        const Tensor x = Tensor::random(dtype, {3, 9, 4}, 8, scattered);
        const Tensor y = Tensor::output(dtype, {3, 9, 4}, !scattered);
        RUN(aclnnCumsum, x, static_cast<int64_t>(dim) - 3, dtype, y);
        expect_values(
            y,
            [&](Shape at) {
              double total = 0;
              for (; at[dim] >= 0; --at[dim]) total += x.at(at);
              return total;
            },
            1.05, 1e-15);
      }
    }
  }
  const Tensor one(ACL_BOOL, {}, {1}), count = Tensor::output(ACL_INT64, {});
  RUN(aclnnCumsum, one, 0, ACL_INT64, count);
  EXPECT_THAT(count.fetch(), testing::ElementsAre(1));
  const Tensor none = Tensor::output(ACL_FLOAT, {3, 0});
  RUN(aclnnCumsum, none, 0, ACL_FLOAT, none);
}

TEST_F(Reduce, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {4, 3}, 5);
  const Tensor y = Tensor::output(ACL_FLOAT, {4});
  EXPECT_REFUSED(161002, "argument dims: got 2, but self FLOAT [4, 3] has dimensions -2 to 1",
                 aclnnReduceSum, x, Ints({2}), false, ACL_FLOAT, y);
  EXPECT_REFUSED(161002, "argument dims: -1 is named twice", aclnnReduceSum, x, Ints({1, -1}),
                 false, ACL_FLOAT, y);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [4], expected BF16", aclnnReduceSum, x, Ints({1}),
                 false, ACL_BF16, y);
}

}  // namespace
}  // namespace emulator_test
