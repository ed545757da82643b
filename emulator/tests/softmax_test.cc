// Softmax against double.
#include "aclnnop/softmax.h"

#include <algorithm>
#include <cmath>

#include "support.h"

namespace emulator_test {
namespace {

class Softmax : public DeviceTest {};

double softmax_at(const Tensor& x, const Shape& at, size_t dim) {
  Shape other = at;
  double sum = 0;
  for (int64_t i = 0; i < x.dims()[dim]; ++i) {
    other[dim] = i;
    sum += std::exp(x.at(other) - x.at(at));
  }
  return 1 / sum;
}

TEST_F(Softmax, OverDimensionsTypesAndStrides) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const size_t dim : {0u, 1u, 2u}) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << " dim " << dim << scattered);
        const Tensor x = Tensor::random(dtype, {3, 7, 41}, 1, scattered, -20, 20);
        const Tensor y = Tensor::output(dtype, x.dims(), !scattered);
        RUN(aclnnSoftmax, x, static_cast<int64_t>(dim), y);
        // x - max up to 40 rounds by 2^-19, which becomes a relative error of the result.
        expect_values(
            y, [&](const Shape& at) { return softmax_at(x, at, dim); },
            dtype == ACL_FLOAT ? 70 : 1.1, dtype == ACL_FLOAT16 ? 1e-8 : 1e-37);
      }
    }
  }
}

TEST_F(Softmax, MaskedElementsAreZeroAndLargeOnesDoNotOverflow) {
  const Tensor x(ACL_FLOAT, {4}, {-INFINITY, 3e38, 3e38, -3e38});
  const Tensor y = Tensor::output(ACL_FLOAT, {4});
  RUN(aclnnSoftmax, x, -1, y);
  EXPECT_THAT(y.fetch(), testing::ElementsAre(0, 0.5, 0.5, 0));
}

TEST_F(Softmax, OfALongRow) {
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 50021}, 1);
  const Tensor y = Tensor::output(ACL_FLOAT, x.dims());
  RUN(aclnnSoftmax, x, 1, y);
  std::vector<double> sums(2);
  for (size_t i = 0; i < x.values().size(); ++i) sums[i / 50021] += std::exp(x.values()[i]);
  expect_values(
      y, [&](const Shape& at) { return std::exp(x.at(at)) / sums[static_cast<size_t>(at[0])]; }, 8);
}

TEST_F(Softmax, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 5}, 1), y = Tensor::output(ACL_FLOAT, {5, 2});
  EXPECT_REFUSED(161002, "argument out: got FLOAT [5, 2], expected shape [2, 5]", aclnnSoftmax, x,
                 0, y);
  EXPECT_REFUSED(161002, "argument dim: got -3", aclnnSoftmax, x, -3, x);
}

}  // namespace
}  // namespace emulator_test
