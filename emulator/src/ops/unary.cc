// Elementwise operators of one tensor.
#include <cmath>

#include "aclnnop/elementwise.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// Functions whose result is a float: integers are taken and give floats.
template <class F>
void floating(Op& op, const aclTensor* self, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, kFloating);
  elementwise<false>(op, x, y, f, arithmetic_of({x.dtype(), y.dtype()}));
}

// Functions defined on floats only.
template <class F>
void activation(Op& op, const aclTensor* self, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kFloating);
  const Tensor y = op.out("out", out, kFloating);
  elementwise<false>(op, x, y, f, arithmetic_of({x.dtype(), y.dtype()}));
}

// Functions that keep integers integers.
template <class F>
void numeric(Op& op, const aclTensor* self, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kNumeric);
  const Tensor y = op.out("out", out, kNumeric);
  expect_castable(op, x.dtype(), y);
  elementwise<true>(op, x, y, f, arithmetic_of({x.dtype(), y.dtype()}));
}

template <class F>
void floating_inplace(Op& op, const aclTensor* self, F f) {
  const Tensor x = op.in_out("selfRef", self, kFloating);
  elementwise<false>(op, x, x, f, arithmetic_of({x.dtype()}));
}

// To the nearest whole number, ties to even; never -0.
void to_whole(Op& op, const Tensor& x, const Tensor& y) {
  op.require(soc().dtypes.contains(ACL_BF16), "{} has no such operator", soc().name);
  const auto whole = [](auto v) {
    if constexpr (std::is_integral_v<decltype(v)>) {
      return v;
    } else {
      return std::nearbyint(v) + 0;
    }
  };
  elementwise<true>(op, x, y, whole, arithmetic_of({x.dtype()}));
}

constexpr DtypeSet kRounded = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE, ACL_INT32, ACL_INT64};

constexpr auto kExp = [](auto x) { return std::exp(x); };
constexpr auto kSin = [](auto x) { return std::sin(x); };
constexpr auto kCos = [](auto x) { return std::cos(x); };

template <class T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

// Φ(x)·x with the error function, and with the tanh approximation.
template <class T>
T gelu_erf(T x) {
  return x * T(0.5) * (1 + std::erf(x * T(0.70710678118654752)));
}
template <class T>
T gelu_tanh(T x) {
  return x * T(0.5) * (1 + std::tanh(T(0.79788456080286536) * (x + T(0.044715) * x * x * x)));
}

}  // namespace

// One line an operator: KIND is one of the functions above, the rest an expression of `x`.
#define UNARY(NAME, KIND, ...)                                 \
  ACLNN(NAME, const aclTensor* self, aclTensor* out) {         \
    KIND(op, self, out, [](auto x) { return (__VA_ARGS__); }); \
  }                                                            \
  ACLNN_END
#define UNARY_INPLACE(NAME, F)                                          \
  ACLNN(NAME, aclTensor* selfRef) { floating_inplace(op, selfRef, F); } \
  ACLNN_END

// clang-format off
UNARY(aclnnAbs, numeric, x < 0 ? -x : x)
UNARY(aclnnNeg, numeric, -x)
UNARY(aclnnSign, numeric, decltype(x)(x > 0) - decltype(x)(x < 0))
UNARY(aclnnRelu, numeric, x > 0 || x != x ? x : decltype(x)(0))
UNARY(aclnnExp, floating, std::exp(x))
UNARY(aclnnLog, floating, std::log(x))
UNARY(aclnnSin, floating, std::sin(x))
UNARY(aclnnCos, floating, std::cos(x))
UNARY(aclnnTanh, floating, std::tanh(x))
UNARY(aclnnSqrt, floating, std::sqrt(x))
UNARY(aclnnRsqrt, floating, 1 / std::sqrt(x))
UNARY(aclnnReciprocal, floating, 1 / x)
UNARY(aclnnErf, floating, std::erf(x))
UNARY(aclnnSigmoid, floating, sigmoid(x))
UNARY(aclnnSilu, activation, x * sigmoid(x))
UNARY(aclnnGelu, activation, gelu_erf(x))
UNARY(aclnnHardsigmoid, activation, std::fmin(std::fmax(x / 6 + decltype(x)(0.5), decltype(x)(0)), decltype(x)(1)))
UNARY(aclnnHardswish, activation, x * std::fmin(std::fmax(x / 6 + decltype(x)(0.5), decltype(x)(0)), decltype(x)(1)))
UNARY_INPLACE(aclnnInplaceExp, kExp)
UNARY_INPLACE(aclnnInplaceSin, kSin)
UNARY_INPLACE(aclnnInplaceCos, kCos)

ACLNN(aclnnRound, const aclTensor* self, aclTensor* out) {
  const Tensor x = op.in("self", self, kRounded);
  to_whole(op, x, op.out("out", out, {x.dtype()}));
} ACLNN_END
ACLNN(aclnnInplaceRound, const aclTensor* selfRef) {
  const Tensor x = op.in_out("selfRef", selfRef, kRounded);
  to_whole(op, x, x);
} ACLNN_END

ACLNN(aclnnGeluV2, const aclTensor* x, int64_t approximate, aclTensor* y) {
  op.require(approximate == 0 || approximate == 1,
             "argument approximate: got {}, expected 0 (erf) or 1 (tanh)", approximate);
  if (approximate == 0) return activation(op, x, y, [](auto v) { return gelu_erf(v); });
  activation(op, x, y, [](auto v) { return gelu_tanh(v); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
