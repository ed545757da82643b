// Elements read and written at positions that a tensor names, against loops on the host.
#include "aclnnop/scatter.h"

#include <map>

#include "support.h"

namespace emulator_test {
namespace {

class Scattering : public DeviceTest {};

Shape with(Shape at, size_t dim, double position) {
  at[dim] = static_cast<int64_t>(position);
  return at;
}

TEST_F(Scattering, Gather) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_INT64, ACL_BOOL}) {
    for (const bool scattered : {false, true}) {
      for (const size_t dim : {0u, 1u, 2u}) {
        const Tensor x = Tensor::random(dtype, {4, 6, 5}, 3, scattered, dtype == ACL_BOOL ? 0 : -2,
                                        dtype == ACL_BOOL ? 1 : 2);
        Shape dims = {3, 6, 2};
        dims[dim] = 9;
        const Tensor index = Tensor::random(ACL_INT32, dims, 5, !scattered, 0, 3);
        const Tensor y = Tensor::output(dtype, dims, scattered);
        RUN(aclnnGather, x, static_cast<int64_t>(dim) - 3, index, y);
        expect_values(y, [&](const Shape& at) { return x.at(with(at, dim, index.at(at))); }, 0);
      }
    }
  }
}

// Loops in order, so that the last of several writes to one place stands.
std::map<Shape, double> scattered_values(const Tensor& self, const Tensor& index, const Tensor& src,
                                         size_t dim, int64_t reduce) {
  std::map<Shape, double> result;
  for_each_position(self.dims(), [&](const Shape& at) { result[at] = self.at(at); });
  for_each_position(index.dims(), [&](const Shape& at) {
    double& element = result[with(at, dim, index.at(at))];
    const double value = src.at(at);
    element = reduce == 0 ? value : reduce == 1 ? element + value : element * value;
  });
  return result;
}

TEST_F(Scattering, Scatter) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_DOUBLE, ACL_FLOAT16, ACL_BF16, ACL_INT64}) {
    for (const size_t dim : {0u, 1u, 2u}) {
      for (const int64_t reduce : {0, 1, 2}) {
        SCOPED_TRACE(testing::Message() << dtype << " " << dim << " " << reduce);
        const Tensor x = Tensor::random(dtype, {4, 6, 5}, 3, true);
        const Tensor index = Tensor::random(ACL_INT64, {2, 4, 3}, 5, false, 0, 3);
        const Tensor source = Tensor::random(dtype, {3, 5, 3}, 6, true);
        const Tensor y = Tensor::output(dtype, x.dims(), true);
        const auto expected = scattered_values(x, index, source, dim, reduce);
        RUN(aclnnScatter, x, static_cast<int64_t>(dim), index, source, reduce, y);
        const double absolute = dtype == ACL_FLOAT ? 1e-6 : dtype == ACL_DOUBLE ? 1e-15 : 0;
        expect_values(y, [&](const Shape& at) { return expected.at(at); }, 1.05, absolute);
        RUN(aclnnInplaceScatter, x, static_cast<int64_t>(dim) - 3, index, source, reduce);
        expect_values(x, [&](const Shape& at) { return expected.at(at); }, 1.05, absolute);
      }
    }
  }
}

TEST_F(Scattering, Update) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16, ACL_INT8}) {
    const Tensor cache = Tensor::random(dtype, {4, 2, 9, 3}, 3, true);
    const Tensor updates = Tensor::random(dtype, {2, 2, 4, 3}, 4, true);
    const Tensor starts(ACL_INT64, {2}, {5, 0});
    RUN(aclnnInplaceScatterUpdate, cache, starts, updates, -2);
    const auto value = [&](const Shape& at, int64_t update, int64_t start) {
      const int64_t row = at[2] - start;
      return row >= 0 && row < 4 ? updates.at({update, at[1], row, at[3]}) : cache.at(at);
    };
    expect_values(
        cache,
        [&](const Shape& at) {
          return at[0] == 0 ? value(at, 0, 5) : at[0] == 1 ? value(at, 1, 0) : cache.at(at);
        },
        0);
    const Tensor other = Tensor::random(dtype, {4, 2, 9, 3}, 3);
    const Tensor pairs(ACL_INT32, {2, 2}, {3, 1, 2, 5});
    RUN(aclnnInplaceScatterUpdate, other, pairs, updates, 2);
    expect_values(
        other,
        [&](const Shape& at) {
          return at[0] == 3 ? value(at, 0, 1) : at[0] == 2 ? value(at, 1, 5) : cache.at(at);
        },
        0);
  }
}

TEST_F(Scattering, Nonzero) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_INT64, ACL_BOOL}) {
    const Tensor x = Tensor::random(dtype, {5, 7}, 3, true, 0, 1);
    std::vector<Shape> expected;
    for_each_position(x.dims(), [&](const Shape& at) {
      if (x.at(at) != 0) expected.push_back(at);
    });
    const Tensor y = Tensor::output(ACL_INT64, {35, 2}, true);
    RUN(aclnnNonzero, x, y);
    const auto rows = y.fetch();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(rows[2 * i], static_cast<double>(expected[i][0]));
      EXPECT_EQ(rows[2 * i + 1], static_cast<double>(expected[i][1]));
    }
    int64_t* dims = nullptr;
    uint64_t rank = 0;
    ASSERT_EQ(aclGetViewShape(y, &dims, &rank), 0);
    EXPECT_THAT(std::vector(dims, dims + rank), testing::ElementsAre(expected.size(), 2));
    delete[] dims;
  }
}

// Runs an operator on a stream of its own, since a fault stays in its stream; the fault's text.
template <class Prepare, class Execute, class... Args>
std::string fault_of(Prepare prepare, Execute execute, Args&&... args) {
  aclrtStream stream = nullptr;
  EXPECT_EQ(aclrtCreateStream(&stream), 0);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(prepare(std::forward<Args>(args)..., &size, &executor), 0) << recent_error();
  EXPECT_EQ(execute(nullptr, 0, executor, stream), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream), 507035);
  std::string text = recent_error();
  EXPECT_EQ(aclrtDestroyStream(stream), 0);
  return text;
}

// Positions are only known when the operator runs.
TEST_F(Scattering, PositionsOutsideAreFaults) {
  const Tensor x = Tensor::random(ACL_FLOAT, {3, 4}, 1), y = Tensor::output(ACL_FLOAT, {3, 1});
  for (const double bad : {-1.0, 4.0}) {
    const Tensor index(ACL_INT64, {3, 1}, {0, bad, 1});
    EXPECT_THAT(fault_of(aclnnGatherGetWorkspaceSize, aclnnGather, x, 1, index, y),
                testing::HasSubstr("is outside of self FLOAT [3, 4]"));
    EXPECT_THAT(
        fault_of(aclnnInplaceScatterGetWorkspaceSize, aclnnInplaceScatter, x, 1, index, y, 0),
        testing::HasSubstr("is outside of selfRef FLOAT [3, 4]"));
  }
  const Tensor starts(ACL_INT64, {3}, {0, 4, 1});
  EXPECT_THAT(fault_of(aclnnInplaceScatterUpdateGetWorkspaceSize, aclnnInplaceScatterUpdate, x,
                       starts, y, 1),
              testing::HasSubstr("argument indices: position 4 is outside of data"));
  const Tensor few = Tensor::output(ACL_INT64, {2, 2});
  EXPECT_THAT(fault_of(aclnnNonzeroGetWorkspaceSize, aclnnNonzero, x, few),
              testing::HasSubstr("but more than 2 elements are not zero"));
}

TEST_F(Scattering, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {3, 4}, 1), y = Tensor::output(ACL_FLOAT, {4, 1});
  const Tensor index(ACL_INT64, {4, 1}, {0, 0, 0, 0}), flat(ACL_INT64, {2}, {0, 0});
  EXPECT_REFUSED(161002, "which is larger than self FLOAT [3, 4] in dimension 0", aclnnGather, x, 1,
                 index, y);
  EXPECT_REFUSED(161002, "but self FLOAT [3, 4] has 2 dimensions", aclnnGather, x, 1, flat, y);
  EXPECT_REFUSED(161002, "argument reduce: got 3, expected 0 (replace), 1 (add) or 2 (multiply)",
                 aclnnInplaceScatter, x, 0, index, y, 3);
  EXPECT_REFUSED(161002, "argument axis: got 0, but dimension 0 holds the batches",
                 aclnnInplaceScatterUpdate, x, flat, x, 0);
  EXPECT_REFUSED(161002, "argument out: got INT64 [4, 1], expected 2 columns", aclnnNonzero, x,
                 index);
}

}  // namespace
}  // namespace emulator_test
