// Order along a dimension, against sorting the same values on the host.
#include "aclnnop/sort.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support.h"

namespace emulator_test {
namespace {

class Sorting : public DeviceTest {};

constexpr aclDataType kTypes[] = {ACL_FLOAT,  ACL_FLOAT16, ACL_BF16,
                                  ACL_DOUBLE, ACL_INT64,   ACL_INT8};

// The values of x along `dim` through `at`.
std::vector<double> along(const Tensor& x, Shape at, size_t dim) {
  std::vector<double> values;
  for (at[dim] = 0; at[dim] < x.dims()[dim]; ++at[dim]) values.push_back(x.at(at));
  return values;
}

// Positions in order; equal ones stay in theirs.
std::vector<size_t> sorted(const std::vector<double>& values, bool descending) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) {
    if (values[a] == values[b]) return a < b;
    return descending ? values[a] > values[b] : values[a] < values[b];
  });
  return order;
}

TEST_F(Sorting, SortAndArgsort) {
  for (const aclDataType dtype : kTypes) {
    for (const bool scattered : {false, true}) {
      for (const int64_t dim : {0, 1, 2}) {
        for (const bool descending : {false, true}) {
          const Tensor x = Tensor::random(dtype, {3, 17, 5}, 9, scattered);
          const Tensor values = Tensor::output(dtype, x.dims(), !scattered);
          const Tensor indices = Tensor::output(ACL_INT64, x.dims(), scattered);
          const Tensor only = Tensor::output(ACL_INT64, x.dims(), !scattered);
          RUN(aclnnSort, x, false, dim - 3, descending, values, indices);
          RUN(aclnnArgsort, x, dim, descending, only);
          const auto axis = static_cast<size_t>(dim);
          const auto position = [&](const Shape& at) {
            return sorted(along(x, at, axis), descending)[static_cast<size_t>(at[axis])];
          };
          const auto index = [&](const Shape& at) { return static_cast<double>(position(at)); };
          expect_values(indices, index, 0);
          expect_values(only, index, 0);
          expect_values(
              values, [&](const Shape& at) { return along(x, at, axis)[position(at)]; }, 0);
        }
      }
    }
  }
}

TEST_F(Sorting, NotANumberIsTheLargest) {
  const Tensor x(ACL_FLOAT, {5}, {1, NAN, INFINITY, NAN, -2});
  const Tensor indices = Tensor::output(ACL_INT64, {5});
  RUN(aclnnArgsort, x, 0, false, indices);
  EXPECT_THAT(indices.fetch(), testing::ElementsAre(4, 0, 2, 1, 3));
  RUN(aclnnArgsort, x, 0, true, indices);
  EXPECT_THAT(indices.fetch(), testing::ElementsAre(1, 3, 2, 0, 4));
  const Tensor at = Tensor::output(ACL_INT64, {});
  RUN(aclnnArgMax, x, 0, false, at);
  EXPECT_THAT(at.fetch(), testing::ElementsAre(1));
  RUN(aclnnArgMin, x, 0, false, at);
  EXPECT_THAT(at.fetch(), testing::ElementsAre(1));
  const Tensor largest = Tensor::output(ACL_FLOAT, {});
  RUN(aclnnMax, x, largest);
  EXPECT_TRUE(std::isnan(largest.fetch()[0]));
}

TEST_F(Sorting, Extremes) {
  for (const aclDataType dtype : kTypes) {
    for (const bool scattered : {false, true}) {
      for (const int64_t dim : {0, 1, 2}) {
        for (const bool keep : {false, true}) {
          const Tensor x = Tensor::random(dtype, {3, 17, 5}, 9, scattered);
          const auto axis = static_cast<size_t>(dim);
          Shape reduced = x.dims();
          if (keep)
            reduced[axis] = 1;
          else
            reduced.erase(reduced.begin() + dim);
          const Tensor most = Tensor::output(ACL_INT32, reduced, !scattered);
          const Tensor least = Tensor::output(ACL_INT64, reduced, scattered);
          const Tensor value = Tensor::output(dtype, reduced, scattered);
          const Tensor where = Tensor::output(ACL_INT64, reduced);
          RUN(aclnnArgMax, x, dim, keep, most);
          RUN(aclnnArgMin, x, dim - 3, keep, least);
          RUN(aclnnMaxDim, x, dim, keep, value, where);
          const auto row = [&](Shape at) {
            if (!keep) at.insert(at.begin() + dim, 0);
            return along(x, at, axis);
          };
          const auto largest = [&](const Shape& at) {
            return static_cast<double>(sorted(row(at), true)[0]);
          };
          expect_values(most, largest, 0);
          expect_values(where, largest, 0);
          expect_values(
              least,
              [&](const Shape& at) { return static_cast<double>(sorted(row(at), false)[0]); }, 0);
          expect_values(value, [&](const Shape& at) { return std::ranges::max(row(at)); }, 0);
        }
      }
    }
  }
}

TEST_F(Sorting, ScalarsEmptyOnesAndTheLargestOfAll) {
  const Tensor one(ACL_FLOAT, {}, {3.5});
  const Tensor at = Tensor::output(ACL_INT64, {}), value = Tensor::output(ACL_FLOAT, {});
  RUN(aclnnArgMax, one, -1, true, at);
  EXPECT_THAT(at.fetch(), testing::ElementsAre(0));
  RUN(aclnnSort, one, true, 0, false, value, at);
  EXPECT_THAT(value.fetch(), testing::ElementsAre(3.5));
  const Tensor none = Tensor::output(ACL_FLOAT, {0, 3}), rows = Tensor::output(ACL_INT64, {0});
  RUN(aclnnArgMax, none, 1, false, rows);
  const Tensor x = Tensor::random(ACL_BF16, {7, 9}, 3, true), most = Tensor::output(ACL_BF16, {});
  RUN(aclnnMax, x, most);
  expect_values(most, [&](const Shape&) { return std::ranges::max(x.values()); }, 0);
  const Tensor columns = Tensor::output(ACL_INT64, {3});
  EXPECT_REFUSED(161002, "argument self: got FLOAT [0, 3], which has no element along 0",
                 aclnnArgMax, none, 0, false, columns);
  EXPECT_REFUSED(161002, "argument self: got FLOAT [0, 3], which has no elements", aclnnMax, none,
                 value);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [], but Ascend910B3 supports INT32, INT64",
                 aclnnArgMax, one, 0, false, value);
}

}  // namespace
}  // namespace emulator_test
