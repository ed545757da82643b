// Values of the elementwise operators against double.
#include "aclnnop/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "support.h"

namespace emulator_test {
namespace {

using Prepare1 = aclnnStatus (*)(const aclTensor*, aclTensor*, uint64_t*, aclOpExecutor**);
using Prepare2 = aclnnStatus (*)(const aclTensor*, const aclTensor*, aclTensor*, uint64_t*,
                                 aclOpExecutor**);
using Execute = aclnnStatus (*)(void*, uint64_t, aclOpExecutor*, aclrtStream);

class Elementwise : public DeviceTest {};

struct Unary {
  const char* name;
  Prepare1 prepare;
  Execute execute;
  double (*f)(double);
  double low = -4, high = 4;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double clamp01(double x) { return std::min(std::max(x, 0.0), 1.0); }

#define OP(NAME) #NAME, aclnn##NAME##GetWorkspaceSize, aclnn##NAME
const Unary kUnary[] = {
    {OP(Abs), [](double x) { return std::abs(x); }},
    {OP(Neg), [](double x) { return -x; }},
    {OP(Sign), [](double x) { return x > 0   ? 1.0
                                     : x < 0 ? -1.0
                                             : 0.0; }},
    {OP(Relu), [](double x) { return std::max(x, 0.0); }},
    {OP(Exp), [](double x) { return std::exp(x); }},
    {OP(Log), [](double x) { return std::log(x); }, 0.01, 9},
    {OP(Sin), [](double x) { return std::sin(x); }},
    {OP(Cos), [](double x) { return std::cos(x); }},
    {OP(Tanh), [](double x) { return std::tanh(x); }},
    {OP(Sqrt), [](double x) { return std::sqrt(x); }, 0, 9},
    {OP(Rsqrt), [](double x) { return 1 / std::sqrt(x); }, 0.1, 9},
    {OP(Reciprocal), [](double x) { return 1 / x; }, 0.1, 9},
    {OP(Erf), [](double x) { return std::erf(x); }},
    {OP(Sigmoid), sigmoid},
    {OP(Silu), [](double x) { return x * sigmoid(x); }},
    {OP(Gelu), [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
    {OP(Hardsigmoid), [](double x) { return clamp01(x / 6 + 0.5); }},
    {OP(Hardswish), [](double x) { return x * clamp01(x / 6 + 0.5); }},
};

// One rounding to a half type; in FP32 a few roundings of the function's own arithmetic, and an
// absolute part where a difference cancels.
void expect_unary(const Unary& op, aclDataType dtype, const Shape& dims, bool scattered) {
  SCOPED_TRACE(testing::Message() << op.name << " dtype " << dtype << " scattered " << scattered);
  const Tensor x = Tensor::random(dtype, dims, 7, scattered, op.low, op.high);
  const Tensor y = Tensor::output(dtype, dims, !scattered);
  ASSERT_EQ(run(op.prepare, op.execute, x, y), 0) << recent_error();
  expect_values(
      y, [&](const Shape& at) { return op.f(x.at(at)); },
      dtype == ACL_FLOAT || dtype == ACL_DOUBLE ? 12 : 1.05, dtype == ACL_DOUBLE ? 1e-15 : 5e-7);
}

TEST_F(Elementwise, UnaryValues) {
  for (const Unary& op : kUnary) {
    for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE}) {
      expect_unary(op, dtype, {3, 5, 7}, false);
      expect_unary(op, dtype, {3, 5, 7}, true);
    }
  }
}

TEST_F(Elementwise, UnaryOfOneElementOfNoneAndOfMany) {
  expect_unary(kUnary[4], ACL_FLOAT16, {}, false);
  expect_unary(kUnary[4], ACL_FLOAT16, {3, 0, 2}, false);
  expect_unary(kUnary[4], ACL_FLOAT16, {130, 1031}, false);
  expect_unary(kUnary[4], ACL_FLOAT16, {1, 131, 1031}, true);
}

TEST_F(Elementwise, IntegersStayExact) {
  const Tensor x(ACL_INT64, {3}, {-5, 0, 9007199254740991.0});
  const Tensor y = Tensor::output(ACL_INT64, {3});
  RUN(aclnnNeg, x, y);
  EXPECT_THAT(y.fetch(), testing::ElementsAre(5, 0, -9007199254740991.0));
  RUN(aclnnAbs, x, y);
  EXPECT_THAT(y.fetch(), testing::ElementsAre(5, 0, 9007199254740991.0));
}

TEST_F(Elementwise, IntegersBecomeFloatsWhereTheFunctionIsOfReals) {
  const Tensor x = Tensor::random(ACL_INT32, {9}, 3);
  const Tensor y = Tensor::output(ACL_FLOAT, {9});
  RUN(aclnnExp, x, y);
  expect_values(y, [&](const Shape& at) { return std::exp(x.at(at)); }, 4);
}

TEST_F(Elementwise, RoundsTiesToEven) {
  const std::vector<double> values = {-2.5, -1.5, -0.75, -0.5, -0.25, 0.5,     1.5,
                                      2.5,  2.75, 126.5, 127,  -128,  -7.4375, 0};
  const std::vector<double> whole = {-2, -2, -1, 0, 0, 0, 2, 2, 3, 126, 127, -128, -7, 0};
  const Shape dims = {static_cast<int64_t>(values.size())};
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE}) {
    const Tensor x(dtype, dims, values);
    const Tensor y = Tensor::output(dtype, dims);
    RUN(aclnnRound, x, y);
    EXPECT_EQ(y.fetch(), whole);
    for (const double value : y.fetch()) EXPECT_FALSE(value == 0 && std::signbit(value));
    RUN(aclnnInplaceRound, x);
    EXPECT_EQ(x.fetch(), whole);
  }
  const Tensor large(ACL_INT64, {1}, {9007199254740991.0});
  RUN(aclnnInplaceRound, large);
  EXPECT_THAT(large.fetch(), testing::ElementsAre(9007199254740991.0));
  const Tensor bytes = Tensor::output(ACL_INT8, {3});
  EXPECT_REFUSED(161002, "argument self", aclnnRound, bytes, bytes);
}

TEST_F(Elementwise, RoundsScatteredTensors) {
  const Tensor x = Tensor::random(ACL_FLOAT, {5, 37}, 3, true, -200, 200);
  const Tensor y = Tensor::output(ACL_FLOAT, {5, 37});
  RUN(aclnnRound, x, y);
  expect_values(y, [&](const Shape& at) { return std::nearbyint(x.at(at)); }, 0);
}

TEST_F(Elementwise, GeluV2HasBothForms) {
  const Tensor x = Tensor::random(ACL_FLOAT, {4, 33}, 5);
  const Tensor y = Tensor::output(ACL_FLOAT, {4, 33});
  RUN(aclnnGeluV2, x, 1, y);
  expect_values(
      y,
      [&](const Shape& at) {
        const double v = x.at(at);
        return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      },
      8, 3e-7);
  RUN(aclnnGeluV2, x, 0, y);
  expect_values(
      y,
      [&](const Shape& at) { return 0.5 * x.at(at) * (1 + std::erf(x.at(at) / std::sqrt(2.0))); },
      8, 3e-7);
  EXPECT_REFUSED(161002, "argument approximate: got 2", aclnnGeluV2, x, 2, y);
}

TEST_F(Elementwise, InPlace) {
  const Tensor x = Tensor::random(ACL_FLOAT, {5, 3}, 11, true);
  RUN(aclnnInplaceExp, x);
  expect_values(x, [&](const Shape& at) { return std::exp(x.at(at)); }, 4);
  const Tensor y = Tensor::random(ACL_BF16, {5, 3}, 11);
  RUN(aclnnInplaceSin, y);
  expect_values(y, [&](const Shape& at) { return std::sin(y.at(at)); }, 1.05);
  const Tensor z = Tensor::random(ACL_BF16, {5, 3}, 11);
  RUN(aclnnInplaceCos, z);
  expect_values(z, [&](const Shape& at) { return std::cos(z.at(at)); }, 1.05);
}

struct Pair {
  Shape a, b, out;
};
const Pair kPairs[] = {{{3, 5}, {3, 5}, {3, 5}},
                       {{3, 1, 4}, {2, 1}, {3, 2, 4}},
                       {{}, {2, 3}, {2, 3}},
                       {{7, 1}, {1, 9}, {7, 9}},
                       {{2, 0}, {1}, {2, 0}}};

// `f` is given what two elements hold; the result is rounded once.
void expect_binary(Prepare2 prepare, Execute execute, double (*f)(double, double),
                   aclDataType dtype, double ulps) {
  for (const Pair& shapes : kPairs) {
    for (const bool scattered : {false, true}) {
      SCOPED_TRACE(testing::Message() << "dtype " << dtype << " scattered " << scattered);
      const Tensor a = Tensor::random(dtype, shapes.a, 1, scattered, 1, 9);
      const Tensor b = Tensor::random(dtype, shapes.b, 2, !scattered, 1, 9);
      const Tensor out = Tensor::output(dtype, shapes.out, scattered);
      ASSERT_EQ(run(prepare, execute, a, b, out), 0) << recent_error();
      expect_values(out, [&](const Shape& at) { return f(a.at(at), b.at(at)); }, ulps);
    }
  }
}

TEST_F(Elementwise, BinaryValuesBroadcast) {
  const auto multiply = [](double a, double b) { return a * b; };
  const auto divide = [](double a, double b) { return a / b; };
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_INT64}) {
    expect_binary(aclnnMulGetWorkspaceSize, aclnnMul, multiply, dtype, 1.01);
    expect_binary(
        aclnnMaximumGetWorkspaceSize, aclnnMaximum,
        [](double a, double b) { return std::max(a, b); }, dtype, 0);
    expect_binary(
        aclnnMinimumGetWorkspaceSize, aclnnMinimum,
        [](double a, double b) { return std::min(a, b); }, dtype, 0);
    expect_binary(
        aclnnEqTensorGetWorkspaceSize, aclnnEqTensor,
        [](double a, double b) { return a == b ? 1.0 : 0.0; }, dtype, 0);
  }
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    expect_binary(aclnnDivGetWorkspaceSize, aclnnDiv, divide, dtype, 1.01);
  }
}

TEST_F(Elementwise, SumsAreScaledByAlpha) {
  const Scalar alpha(0.5f);
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    const Tensor a = Tensor::random(dtype, {4, 1, 3}, 1, true);
    const Tensor b = Tensor::random(dtype, {5, 1}, 2);
    const Tensor out = Tensor::output(dtype, {4, 5, 3}, true);
    RUN(aclnnAdd, a, b, alpha, out);
    expect_values(out, [&](const Shape& at) { return a.at(at) + 0.5 * b.at(at); }, 1.01, 1e-7);
    RUN(aclnnSub, a, b, alpha, out);
    expect_values(out, [&](const Shape& at) { return a.at(at) - 0.5 * b.at(at); }, 1.01, 1e-7);
    const Tensor c = Tensor::random(dtype, {4, 5, 3}, 3, true);
    RUN(aclnnInplaceAdd, c, b, alpha);
    expect_values(c, [&](const Shape& at) { return c.at(at) + 0.5 * b.at(at); }, 1.01, 1e-7);
    const Tensor d = Tensor::random(dtype, {4, 5, 3}, 3);
    RUN(aclnnInplaceSub, d, b, alpha);
    expect_values(d, [&](const Shape& at) { return d.at(at) - 0.5 * b.at(at); }, 1.01, 1e-7);
  }
}

TEST_F(Elementwise, OtherInPlaceForms) {
  const Tensor b = Tensor::random(ACL_FLOAT, {3}, 2, false, 0.5, 2);
  const Tensor c = Tensor::random(ACL_FLOAT, {4, 3}, 3, true, 0.5, 2);
  RUN(aclnnInplaceMul, c, b);
  expect_values(c, [&](const Shape& at) { return c.at(at) * b.at(at); });
  const Tensor d = Tensor::random(ACL_FLOAT, {4, 3}, 4, true, 0.5, 2);
  RUN(aclnnInplaceDiv, d, b);
  expect_values(d, [&](const Shape& at) { return d.at(at) / b.at(at); });
  const Tensor e = Tensor::random(ACL_FLOAT, {4, 3}, 5, true, 0.5, 2);
  RUN(aclnnInplacePowTensorTensor, e, b);
  expect_values(e, [&](const Shape& at) { return std::pow(e.at(at), b.at(at)); }, 4);
}

TEST_F(Elementwise, MixedTypesPromote) {
  const Scalar one(1.0f);
  const Tensor half = Tensor::random(ACL_FLOAT16, {6}, 1);
  const Tensor brain = Tensor::random(ACL_BF16, {6}, 2);
  const Tensor whole = Tensor::random(ACL_INT32, {6}, 3);
  const Tensor out = Tensor::output(ACL_FLOAT, {6});
  RUN(aclnnAdd, half, brain, one, out);
  expect_values(out, [&](const Shape& at) { return half.at(at) + brain.at(at); });
  RUN(aclnnAdd, whole, half, one, out);
  expect_values(out, [&](const Shape& at) { return half.at(at) + whole.at(at); });
}

TEST_F(Elementwise, TensorAndScalar) {
  const Scalar s(1.25f), alpha(2.0f);
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    const Tensor x = Tensor::random(dtype, {5, 7}, 9, true);
    const Tensor y = Tensor::output(dtype, {5, 7});
    RUN(aclnnAdds, x, s, alpha, y);
    expect_values(y, [&](const Shape& at) { return x.at(at) + 2.5; });
    RUN(aclnnMuls, x, s, y);
    expect_values(y, [&](const Shape& at) { return x.at(at) * 1.25; });
    RUN(aclnnClampMin, x, s, y);
    expect_values(y, [&](const Shape& at) { return std::max(x.at(at), 1.25); }, 0);
    RUN(aclnnLeakyRelu, x, s, y);
    expect_values(y, [&](const Shape& at) { return x.at(at) > 0 ? x.at(at) : x.at(at) * 1.25; });
    RUN(aclnnElu, x, s, alpha, s, y);
    expect_values(
        y,
        [&](const Shape& at) {
          return 2 * (x.at(at) > 0 ? x.at(at) : 1.25 * std::expm1(1.25 * x.at(at)));
        },
        6);
    RUN(aclnnSoftplus, x, s, alpha, y);
    expect_values(
        y,
        [&](const Shape& at) {
          return x.at(at) * 1.25 > 2 ? x.at(at) : std::log1p(std::exp(1.25 * x.at(at))) / 1.25;
        },
        6);
    RUN(aclnnPowScalarTensor, s, x, y);
    expect_values(y, [&](const Shape& at) { return std::pow(1.25, x.at(at)); }, 4);
  }
}

TEST_F(Elementwise, TensorAndScalarInPlace) {
  const Scalar s(1.25f), alpha(2.0f), limit(0.5f);
  const auto fresh = [] { return Tensor::random(ACL_FLOAT, {5, 7}, 9, true); };
  const Tensor a = fresh(), b = fresh(), c = fresh(), d = fresh(), e = fresh(), f = fresh();
  RUN(aclnnInplaceAdds, a, s, alpha);
  expect_values(a, [&](const Shape& at) { return a.at(at) + 2.5; });
  RUN(aclnnInplaceSubs, b, s, alpha);
  expect_values(b, [&](const Shape& at) { return b.at(at) - 2.5; });
  RUN(aclnnInplaceMuls, c, s);
  expect_values(c, [&](const Shape& at) { return c.at(at) * 1.25; });
  RUN(aclnnInplaceDivs, d, s);
  expect_values(d, [&](const Shape& at) { return d.at(at) / 1.25; });
  RUN(aclnnInplaceClampMax, e, limit);
  expect_values(e, [&](const Shape& at) { return std::min(e.at(at), 0.5); }, 0);
  RUN(aclnnInplaceThreshold, f, limit, s);
  expect_values(f, [&](const Shape& at) { return f.at(at) > 0.5 ? f.at(at) : 1.25; }, 0);
}

TEST_F(Elementwise, ClampTakesEitherBound) {
  const Scalar low(-0.5f), high(1.0f);
  const Tensor x = Tensor::random(ACL_FLOAT, {41}, 2);
  const Tensor y = Tensor::output(ACL_FLOAT, {41});
  RUN(aclnnClamp, x, low, high, y);
  expect_values(y, [&](const Shape& at) { return std::clamp(x.at(at), -0.5, 1.0); }, 0);
  RUN(aclnnClamp, x, nullptr, high, y);
  expect_values(y, [&](const Shape& at) { return std::min(x.at(at), 1.0); }, 0);
  RUN(aclnnClamp, x, low, nullptr, y);
  expect_values(y, [&](const Shape& at) { return std::max(x.at(at), -0.5); }, 0);
}

TEST_F(Elementwise, ComparisonWritesBool) {
  const Scalar zero(0.0f);
  const Tensor x = Tensor::random(ACL_FLOAT16, {4, 9}, 2, true);
  const Tensor y = Tensor::output(ACL_BOOL, {4, 9}, true);
  RUN(aclnnGtScalar, x, zero, y);
  expect_values(y, [&](const Shape& at) { return x.at(at) > 0 ? 1.0 : 0.0; });
}

TEST_F(Elementwise, Casts) {
  const Tensor x(ACL_FLOAT, {8}, {-3.7, 3.7, 300, -300, 65520, 1e-8, 0, 1});
  const auto cast = [&](aclDataType dtype) {
    const Tensor y = Tensor::output(dtype, {8});
    EXPECT_EQ(run(aclnnCastGetWorkspaceSize, aclnnCast, x, dtype, y), 0) << recent_error();
    return y.fetch();
  };
  EXPECT_THAT(cast(ACL_INT32), testing::ElementsAre(-3, 3, 300, -300, 65520, 0, 0, 1));
  EXPECT_THAT(cast(ACL_INT8), testing::ElementsAre(-3, 3, 127, -128, 127, 0, 0, 1));
  EXPECT_THAT(cast(ACL_BOOL), testing::ElementsAre(1, 1, 1, 1, 1, 1, 0, 1));
  EXPECT_THAT(cast(ACL_FLOAT16),
              testing::ElementsAre(rounded(ACL_FLOAT16, -3.7), rounded(ACL_FLOAT16, 3.7), 300, -300,
                                   INFINITY, 0, 0, 1));
}

// Every FLOAT16 value becomes FLOAT and returns; BF16 likewise.
TEST_F(Elementwise, HalfTypesConvertExactly) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    std::vector<uint16_t> bits(65536), back(65536);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    const Memory from(bits.size() * 2), middle(bits.size() * 4), to(bits.size() * 2);
    ASSERT_EQ(aclrtMemcpy(from.get(), 131072, bits.data(), 131072, ACL_MEMCPY_HOST_TO_DEVICE), 0);
    const int64_t n = 65536;
    const auto make = [&](aclDataType type, void* data) {
      return aclCreateTensor(&n, 1, type, nullptr, 0, ACL_FORMAT_ND, &n, 1, data);
    };
    aclTensor* x = make(dtype, from.get());
    aclTensor* y = make(ACL_FLOAT, middle.get());
    aclTensor* z = make(dtype, to.get());
    RUN(aclnnCast, x, ACL_FLOAT, y);
    RUN(aclnnCast, y, dtype, z);
    for (const aclTensor* tensor : {x, y, z}) aclDestroyTensor(tensor);
    std::vector<float> wide(65536);
    ASSERT_EQ(aclrtMemcpy(wide.data(), 262144, middle.get(), 262144, ACL_MEMCPY_DEVICE_TO_HOST), 0);
    ASSERT_EQ(aclrtMemcpy(back.data(), 131072, to.get(), 131072, ACL_MEMCPY_DEVICE_TO_HOST), 0);
    for (size_t i = 0; i < bits.size(); ++i) {
      if (std::isnan(wide[i])) continue;
      ASSERT_EQ(back[i], bits[i]);
      if (dtype != ACL_FLOAT16) continue;
      _Float16 exact;
      std::memcpy(&exact, &bits[i], 2);
      ASSERT_EQ(wide[i], static_cast<float>(exact)) << i;
    }
  }
}

TEST_F(Elementwise, CopyBroadcastsAndConverts) {
  const Tensor x = Tensor::random(ACL_FLOAT, {3, 1}, 6, true);
  const Tensor y = Tensor::output(ACL_BF16, {2, 3, 5}, true);
  RUN(aclnnInplaceCopy, y, x);
  expect_values(y, [&](const Shape& at) { return x.at(at); });
  EXPECT_REFUSED(161002, "does not broadcast to selfRef", aclnnInplaceCopy, x, y);
}

TEST_F(Elementwise, Fills) {
  const Scalar value(1.5f);
  const Tensor x = Tensor::output(ACL_FLOAT16, {3, 4}, true);
  RUN(aclnnInplaceFillScalar, x, value);
  expect_values(x, [](const Shape&) { return 1.5; }, 0);
  RUN(aclnnInplaceZero, x);
  expect_values(x, [](const Shape&) { return 0; }, 0);
}

TEST_F(Elementwise, Refusals) {
  const Scalar one(1.0f);
  const Tensor a = Tensor::random(ACL_FLOAT, {2, 3}, 1);
  const Tensor b = Tensor::random(ACL_FLOAT, {2, 4}, 1);
  const Tensor out = Tensor::output(ACL_FLOAT, {2, 3});
  const Tensor whole = Tensor::output(ACL_INT32, {2, 3});
  EXPECT_REFUSED(161002,
                 "aclnnAdd: argument other: got FLOAT [2, 4], which does not broadcast with self "
                 "FLOAT [2, 3]",
                 aclnnAdd, a, b, one, out);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [2, 4], expected shape [2, 3]", aclnnMul, a, a,
                 b);
  EXPECT_REFUSED(161002, "argument out: got INT32 [2, 3], but the result is FLOAT", aclnnMul, a, a,
                 whole);
  EXPECT_REFUSED(161002, "argument self: got INT32 [2, 3], but Ascend910B3 supports FLOAT",
                 aclnnSilu, whole, out);
  EXPECT_REFUSED(161001, "argument alpha is null", aclnnAdd, a, a, nullptr, out);
  EXPECT_REFUSED(161001, "argument self is null", aclnnExp, nullptr, out);
}

}  // namespace
}  // namespace emulator_test
