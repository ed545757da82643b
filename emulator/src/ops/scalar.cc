// Elementwise operators of a tensor and scalars.
#include <cmath>

#include "aclnnop/elementwise.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// Functions that keep integers integers, computed in the type of self and the scalar promoted.
// `f` is called with the element and the scalar in the same type.
template <class F>
void numeric(Op& op, const Tensor& x, const Tensor& y, const ScalarValue& scalar, F f) {
  const bool real = is_floating(x.dtype()) || is_floating(scalar.dtype());
  if (real) expect_castable(op, ACL_FLOAT, y);
  const auto g = [scalar, f](auto v) { return f(v, scalar.as<decltype(v)>()); };
  const auto wide = x.dtype() == ACL_DOUBLE ? ACL_DOUBLE : ACL_FLOAT;
  elementwise<true>(op, x, y, g, arithmetic_of({real ? wide : ACL_INT64}));
}

template <class F>
void numeric(Op& op, const aclTensor* self, const ScalarValue& scalar, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  numeric(op, x, op.out("out", out, kNumeric | kBool), scalar, f);
}

template <class F>
void numeric_inplace(Op& op, const aclTensor* self, const ScalarValue& scalar, F f) {
  const Tensor x = op.in_out("selfRef", self, kNumeric | kBool);
  numeric(op, x, x, scalar, f);
}

// Activations of floats with parameters.
template <class F>
void activation(Op& op, const aclTensor* self, const aclTensor* out, F f) {
  const Tensor x = op.in("self", self, kFloating);
  const Tensor y = op.out("out", out, kFloating);
  elementwise<false>(op, x, y, f, arithmetic_of({x.dtype(), y.dtype()}));
}

// x + sign · alpha · s
auto add_scaled(Op& op, const aclScalar* alpha, int sign) {
  return [scale = op.scalar("alpha", alpha), sign](auto x, auto s) {
    using T = decltype(x);
    return x + static_cast<T>(sign) * scale.as<T>() * s;
  };
}

constexpr auto kMultiply = [](auto x, auto s) { return x * s; };

// NaN stays NaN.
template <class T>
T clamp_min(T x, T least) {
  return x < least ? least : x;
}
template <class T>
T clamp_max(T x, T most) {
  return x > most ? most : x;
}

}  // namespace

// clang-format off
ACLNN(aclnnAdds, const aclTensor* self, const aclScalar* other, const aclScalar* alpha, aclTensor* out) {
  numeric(op, self, op.scalar("other", other), out, add_scaled(op, alpha, 1));
} ACLNN_END
ACLNN(aclnnInplaceAdds, aclTensor* selfRef, const aclScalar* other, const aclScalar* alpha) {
  numeric_inplace(op, selfRef, op.scalar("other", other), add_scaled(op, alpha, 1));
} ACLNN_END
ACLNN(aclnnInplaceSubs, aclTensor* selfRef, const aclScalar* other, const aclScalar* alpha) {
  numeric_inplace(op, selfRef, op.scalar("other", other), add_scaled(op, alpha, -1));
} ACLNN_END
ACLNN(aclnnMuls, const aclTensor* self, const aclScalar* other, aclTensor* out) {
  numeric(op, self, op.scalar("other", other), out, kMultiply);
} ACLNN_END
ACLNN(aclnnInplaceMuls, aclTensor* selfRef, const aclScalar* other) {
  numeric_inplace(op, selfRef, op.scalar("other", other), kMultiply);
} ACLNN_END
ACLNN(aclnnInplaceDivs, aclTensor* selfRef, const aclScalar* other) {
  const Tensor x = op.in_out("selfRef", selfRef, kFloating);
  numeric(op, x, x, op.scalar("other", other), [](auto v, auto s) { return v / s; });
} ACLNN_END
ACLNN(aclnnGtScalar, const aclTensor* self, const aclScalar* other, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, kNumeric | kBool);
  const ScalarValue s = op.scalar("other", other);
  elementwise<true>(op, x, y, [s](auto v) { return v > s.as<decltype(v)>(); },
                    arithmetic_of({x.dtype(), s.dtype()}));
} ACLNN_END
ACLNN(aclnnPowScalarTensor, const aclScalar* self, const aclTensor* exponent, aclTensor* out) {
  const ScalarValue base = op.scalar("self", self);
  const Tensor x = op.in("exponent", exponent, kNumeric | kBool);
  const Tensor y = op.out("out", out, kFloating);
  elementwise<false>(op, x, y, [base](auto v) { return std::pow(base.as<decltype(v)>(), v); },
                     arithmetic_of({x.dtype(), y.dtype()}));
} ACLNN_END
ACLNN(aclnnClampMin, const aclTensor* self, const aclScalar* clipValueMin, aclTensor* out) {
  numeric(op, self, op.scalar("clipValueMin", clipValueMin), out, [](auto x, auto s) { return clamp_min(x, s); });
} ACLNN_END
ACLNN(aclnnInplaceClampMax, aclTensor* selfRef, const aclScalar* clipValueMax) {
  numeric_inplace(op, selfRef, op.scalar("clipValueMax", clipValueMax), [](auto x, auto s) { return clamp_max(x, s); });
} ACLNN_END
ACLNN(aclnnClamp, const aclTensor* self, const aclScalar* clipValueMin, const aclScalar* clipValueMax, aclTensor* out) {
  op.require(clipValueMin != nullptr || clipValueMax != nullptr, "arguments clipValueMin and clipValueMax are both null");
  const Tensor x = op.in("self", self, kNumeric);
  const Tensor y = op.out("out", out, kNumeric);
  expect_castable(op, x.dtype(), y);
  const bool low = clipValueMin != nullptr, high = clipValueMax != nullptr;
  const ScalarValue least = low ? op.scalar("clipValueMin", clipValueMin) : ScalarValue();
  const ScalarValue most = high ? op.scalar("clipValueMax", clipValueMax) : ScalarValue();
  elementwise<true>(op, x, y, [=](auto v) {
    using T = decltype(v);
    if (low) v = clamp_min(v, least.as<T>());
    return high ? clamp_max(v, most.as<T>()) : v;
  }, arithmetic_of({x.dtype(), low ? least.dtype() : x.dtype(), high ? most.dtype() : x.dtype()}));
} ACLNN_END
ACLNN(aclnnInplaceThreshold, aclTensor* selfRef, const aclScalar* threshold, const aclScalar* value) {
  const ScalarValue replacement = op.scalar("value", value);
  numeric_inplace(op, selfRef, op.scalar("threshold", threshold), [replacement](auto x, auto s) {
    return x > s ? x : replacement.as<decltype(x)>();
  });
} ACLNN_END
ACLNN(aclnnLeakyRelu, const aclTensor* self, const aclScalar* negativeSlope, aclTensor* out) {
  activation(op, self, out, [slope = op.scalar("negativeSlope", negativeSlope)](auto x) {
    return x > 0 ? x : x * slope.as<decltype(x)>();
  });
} ACLNN_END
ACLNN(aclnnElu, const aclTensor* self, const aclScalar* alpha, const aclScalar* scale, const aclScalar* inputScale, aclTensor* out) {
  activation(op, self, out, [a = op.scalar("alpha", alpha), s = op.scalar("scale", scale),
                             i = op.scalar("inputScale", inputScale)](auto x) {
    using T = decltype(x);
    return s.as<T>() * (x > 0 ? x : a.as<T>() * std::expm1(x * i.as<T>()));
  });
} ACLNN_END
ACLNN(aclnnSoftplus, const aclTensor* self, const aclScalar* beta, const aclScalar* threshold, aclTensor* out) {
  activation(op, self, out, [b = op.scalar("beta", beta), t = op.scalar("threshold", threshold)](auto x) {
    using T = decltype(x);
    const T scaled = x * b.as<T>();
    return scaled > t.as<T>() ? x : std::log1p(std::exp(scaled)) / b.as<T>();
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
