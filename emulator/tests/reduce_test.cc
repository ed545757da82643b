// Reductions against double.
#include "aclnnop/reduce.h"

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
  const Tensor all = Tensor::output(ACL_FLOAT, {});
  RUN(aclnnReduceSum, x, Ints(std::vector<int64_t>{}), false, ACL_FLOAT, all);
  const auto expected = sums(x, {0, 1, 2});
  expect_values(all, [&](const Shape&) { return expected.begin()->second; });
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
