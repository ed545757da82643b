// Ranges, fills under an index or a mask, and choice by a condition.
#include "aclnnop/fill.h"

#include <algorithm>

#include "support.h"

namespace emulator_test {
namespace {

class Fill : public DeviceTest {};

TEST_F(Fill, Arange) {
  const Scalar start(0.5f), end(4.0f), step(0.25f);
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    const Tensor y = Tensor::output(dtype, {2, 7}, true);
    RUN(aclnnArange, start, end, step, y);
    expect_values(
        y, [](const Shape& at) { return 0.5 + 0.25 * static_cast<double>(at[0] * 7 + at[1]); });
  }
  const Scalar high(int64_t{10}), low(int64_t{-2}), back(int64_t{-3});
  const Tensor whole = Tensor::output(ACL_INT64, {4});
  RUN(aclnnArange, high, low, back, whole);
  EXPECT_THAT(whole.fetch(), testing::ElementsAre(10, 7, 4, 1));
  const Tensor none = Tensor::output(ACL_INT64, {0});
  RUN(aclnnArange, low, low, back, none);
}

// 7 / 0.7f is 10 in FP32, a little more in FP64, where the eleventh number is still below 7.
TEST_F(Fill, ArangeTakesEitherCount) {
  const Scalar start(0.0f), end(7.0f), step(0.7f);
  for (const int64_t count : {10, 11}) {
    const Tensor y = Tensor::output(ACL_FLOAT, {count});
    RUN(aclnnArange, start, end, step, y);
    expect_values(
        y, [](const Shape& at) { return static_cast<double>(0.7f) * static_cast<double>(at[0]); });
  }
  const Tensor y = Tensor::output(ACL_FLOAT, {12});
  EXPECT_REFUSED(161002, "argument out: got FLOAT [12], but from 0 to 7 by 0.", aclnnArange, start,
                 end, step, y);
  EXPECT_REFUSED(161002, "argument step is 0", aclnnArange, start, end, start, y);
}

TEST_F(Fill, IndexFill) {
  const Scalar value(3.0f);
  for (const aclDataType dtype : {ACL_FLOAT, ACL_BF16, ACL_INT8, ACL_INT64}) {
    const Tensor x = Tensor::random(dtype, {3, 7, 2}, 4, true);
    RUN(aclnnInplaceIndexFillTensor, x, -2, Ints({1, -1, 4, 1}), value);
    expect_values(
        x, [&](const Shape& at) { return at[1] == 1 || at[1] == 6 || at[1] == 4 ? 3.0 : x.at(at); },
        0);
  }
  const Tensor x = Tensor::random(ACL_FLOAT, {3}, 4);
  EXPECT_REFUSED(161002, "argument index: 3 is outside of dimension 0 of FLOAT [3]",
                 aclnnInplaceIndexFillTensor, x, 0, Ints({3}), value);
}

TEST_F(Fill, MaskedFill) {
  const Scalar value(-1.5f);
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE}) {
    const Tensor x = Tensor::random(dtype, {3, 5, 4}, 4, true);
    const Tensor mask = Tensor::random(ACL_BOOL, {5, 1}, 5, false, 0, 1);
    RUN(aclnnInplaceMaskedFillScalar, x, mask, value);
    expect_values(x, [&](const Shape& at) { return mask.at(at) != 0 ? -1.5 : x.at(at); }, 0);
  }
  const Tensor whole = Tensor::random(ACL_INT64, {5}, 4), all(ACL_BOOL, {1}, {1});
  const Scalar large(int64_t{1} << 53);
  RUN(aclnnInplaceMaskedFillScalar, whole, all, large);
  expect_values(whole, [](const Shape&) { return 9007199254740992.0; }, 0);
  const Tensor mask = Tensor::random(ACL_BOOL, {2, 5}, 5, false, 0, 1);
  EXPECT_REFUSED(161002, "argument mask: got BOOL [2, 5], which does not broadcast to selfRef",
                 aclnnInplaceMaskedFillScalar, whole, mask, value);
}

TEST_F(Fill, Where) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_INT64}) {
    const Tensor condition = Tensor::random(ACL_BOOL, {2, 1, 5}, 3, true, 0, 1);
    const Tensor x = Tensor::random(dtype, {4, 1}, 4, true), y = Tensor::random(dtype, {5}, 5);
    const Tensor z = Tensor::output(dtype, {2, 4, 5}, true);
    RUN(aclnnSWhere, condition, x, y, z);
    expect_values(
        z, [&](const Shape& at) { return condition.at(at) != 0 ? x.at(at) : y.at(at); }, 0);
  }
  const Tensor condition = Tensor::random(ACL_BOOL, {3}, 3, false, 0, 1);
  const Tensor half = Tensor::random(ACL_FLOAT16, {3}, 4), brain = Tensor::random(ACL_BF16, {3}, 4);
  EXPECT_REFUSED(161002, "argument out: got FLOAT16 [3], but Ascend910B3 supports FLOAT",
                 aclnnSWhere, condition, half, brain, half);
}

}  // namespace
}  // namespace emulator_test
