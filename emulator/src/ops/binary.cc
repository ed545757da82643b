// Elementwise operators of two tensors, which broadcast.
#include <cmath>

#include "aclnnop/elementwise.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// Functions that keep integers integers.
template <class F>
void numeric(Op& op, const aclTensor* self, const aclTensor* other, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.in("other", other, kNumeric | kBool);
  const Tensor z = op.out("out", out, kNumeric | kBool);
  const aclDataType type = promoted(x.dtype(), y.dtype());
  expect_castable(op, type, z);
  elementwise<true>(op, x, y, z, f, arithmetic_of({type}));
}

template <class F>
void numeric_inplace(Op& op, const aclTensor* self, const aclTensor* other, F f) {
  const Tensor x = op.in_out("selfRef", self, kNumeric | kBool);
  const Tensor y = op.in("other", other, kNumeric | kBool);
  const aclDataType type = promoted(x.dtype(), y.dtype());
  expect_castable(op, type, x);
  elementwise<true>(op, x, y, x, f, arithmetic_of({type}));
}

// Functions whose result is a float.
template <class F>
void floating(Op& op, const aclTensor* self, const aclTensor* other, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.in("other", other, kNumeric | kBool);
  const Tensor z = op.out("out", out, kFloating);
  elementwise<false>(op, x, y, z, f, arithmetic_of({x.dtype(), y.dtype(), z.dtype()}));
}

template <class F>
void floating_inplace(Op& op, const aclTensor* self, const aclTensor* other, const char* name,
                      F f) {
  const Tensor x = op.in_out("selfRef", self, kFloating);
  const Tensor y = op.in(name, other, kNumeric | kBool);
  elementwise<false>(op, x, y, x, f, arithmetic_of({x.dtype(), y.dtype()}));
}

// x + sign · alpha · y
auto add_scaled(Op& op, const aclScalar* alpha, int sign) {
  return [scale = op.scalar("alpha", alpha), sign](auto x, auto y) {
    using T = decltype(x);
    return x + static_cast<T>(sign) * scale.as<T>() * y;
  };
}

constexpr auto kMultiply = [](auto x, auto y) { return x * y; };
constexpr auto kDivide = [](auto x, auto y) { return x / y; };

}  // namespace

// clang-format off
#define BINARY(NAME, KIND, ...)                                                       \
  ACLNN(NAME, const aclTensor* self, const aclTensor* other, aclTensor* out) {        \
    KIND(op, self, other, out, __VA_ARGS__);                                          \
  } ACLNN_END

BINARY(aclnnMul, numeric, kMultiply)
BINARY(aclnnMaximum, numeric, [](auto x, auto y) { return x > y || x != x ? x : y; })
BINARY(aclnnMinimum, numeric, [](auto x, auto y) { return x < y || x != x ? x : y; })
BINARY(aclnnDiv, floating, kDivide)

ACLNN(aclnnAdd, const aclTensor* self, const aclTensor* other, const aclScalar* alpha, aclTensor* out) {
  numeric(op, self, other, out, add_scaled(op, alpha, 1));
} ACLNN_END
ACLNN(aclnnSub, const aclTensor* self, const aclTensor* other, const aclScalar* alpha, aclTensor* out) {
  numeric(op, self, other, out, add_scaled(op, alpha, -1));
} ACLNN_END
ACLNN(aclnnEqTensor, const aclTensor* self, const aclTensor* other, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.in("other", other, kNumeric | kBool);
  const Tensor z = op.out("out", out, kNumeric | kBool);
  elementwise<true>(op, x, y, z, [](auto a, auto b) { return a == b; }, arithmetic_of({x.dtype(), y.dtype()}));
} ACLNN_END
ACLNN(aclnnInplaceAdd, aclTensor* selfRef, const aclTensor* other, const aclScalar* alpha) {
  numeric_inplace(op, selfRef, other, add_scaled(op, alpha, 1));
} ACLNN_END
ACLNN(aclnnInplaceSub, aclTensor* selfRef, const aclTensor* other, const aclScalar* alpha) {
  numeric_inplace(op, selfRef, other, add_scaled(op, alpha, -1));
} ACLNN_END
ACLNN(aclnnInplaceMul, aclTensor* selfRef, const aclTensor* other) {
  numeric_inplace(op, selfRef, other, kMultiply);
} ACLNN_END
ACLNN(aclnnInplaceDiv, aclTensor* selfRef, const aclTensor* other) {
  floating_inplace(op, selfRef, other, "other", kDivide);
} ACLNN_END
ACLNN(aclnnInplacePowTensorTensor, aclTensor* selfRef, const aclTensor* exponent) {
  floating_inplace(op, selfRef, exponent, "exponent", [](auto x, auto y) { return std::pow(x, y); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
