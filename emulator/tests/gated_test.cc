// Gated activations against double.
#include "aclnnop/gated.h"

#include <cmath>

#include "support.h"

namespace emulator_test {
namespace {

class Gated : public DeviceTest {};

constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// A few roundings of FLOAT arithmetic, or one of a half type.
double ulps(aclDataType dtype) { return dtype == ACL_FLOAT ? 10 : 1.05; }

// The element of the first or second half along `dim`.
double half_at(const Tensor& x, Shape at, size_t dim, bool second) {
  if (second) at[dim] += x.dims()[dim] / 2;
  return x.at(at);
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_by_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST_F(Gated, SwiGluOverDimensions) {
  for (const aclDataType dtype : kTypes) {
    for (const size_t dim : {0u, 1u, 2u}) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << " dim " << dim << scattered);
        const Tensor x = Tensor::random(dtype, {4, 6, 262}, 1, scattered, -9, 9);
        Shape dims = x.dims();
        dims[dim] /= 2;
        const Tensor y = Tensor::output(dtype, dims, !scattered);
        RUN(aclnnSwiGlu, x, static_cast<int64_t>(dim) - 3, y);
        expect_values(
            y,
            [&](const Shape& at) {
              return silu(half_at(x, at, dim, false)) * half_at(x, at, dim, true);
            },
            ulps(dtype));
      }
    }
  }
}

TEST_F(Gated, SwiGluAtTheEnds) {
  const Tensor x(ACL_FLOAT, {8}, {-200, 200, -88, 0, 1, 1, 1, 1});
  const Tensor y = Tensor::output(ACL_FLOAT, {4});
  RUN(aclnnSwiGlu, x, 0, y);
  expect_values(y, [&](const Shape& at) { return silu(x.at(at)); }, 10, 1e-36);
}

TEST_F(Gated, GeGluOnEitherSide) {
  for (const aclDataType dtype : kTypes) {
    for (const int64_t approximate : {0, 1}) {
      for (const bool left : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << approximate << left);
        const Tensor x = Tensor::random(dtype, {5, 66}, 1, left, -4, 4);
        const Tensor y = Tensor::output(dtype, {5, 33}, !left), g = Tensor::output(dtype, {5, 33});
        RUN(aclnnGeGluV3, x, -1, approximate, left, y, g);
        const auto activated = [&](const Shape& at) {
          return (approximate == 1 ? gelu_by_tanh : gelu)(half_at(x, at, 1, !left));
        };
        // 1 + erf cancels for negative numbers.
        expect_values(g, activated, ulps(dtype), 5e-7);
        expect_values(
            y, [&](const Shape& at) { return activated(at) * half_at(x, at, 1, left); },
            ulps(dtype), 2e-6);
      }
    }
  }
}

// An integer may differ from the exact quotient by a half and a few units of FLOAT.
TEST_F(Gated, DequantSwigluQuantOfInt32Sums) {
  char dynamic[] = "dynamic";
  for (const Shape& dims : {Shape{1, 2}, Shape{5, 34}, Shape{2, 3, 518}}) {
    for (const bool left : {true, false}) {
      for (const bool extras : {false, true}) {
        SCOPED_TRACE(testing::Message() << testing::PrintToString(dims) << left << extras);
        const int64_t length = dims.back(), half = length / 2;
        const Shape rows(dims.begin(), dims.end() - 1);
        Shape halves = rows;
        halves.push_back(half);
        const Tensor x = Tensor::random(ACL_INT32, dims, 1, extras, -30000, 30000);
        const Tensor weight = Tensor::random(ACL_FLOAT, {length}, 2, false, 1e-3, 2e-3);
        const int64_t count = x.count() / length;
        const Tensor token = Tensor::random(ACL_FLOAT, {count}, 3, false, 0.05, 0.1);
        const Tensor bias = Tensor::random(ACL_FLOAT, {length}, 4);
        const Tensor smooth = Tensor::random(ACL_FLOAT, {half}, 5, false, 0.5, 2);
        const Tensor y = Tensor::output(ACL_INT8, halves, extras),
                     scale = Tensor::output(ACL_FLOAT, rows);
        const aclTensor* none = nullptr;
        RUN(aclnnDequantSwigluQuant, x, weight, token, extras ? bias : none, extras ? smooth : none,
            nullptr, nullptr, left, dynamic, y, scale);
        const std::vector<double> q = y.fetch(), scales = scale.fetch();
        for (int64_t r = 0; r < count; ++r) {
          const auto input = [&](int64_t i) {
            return x.values()[static_cast<size_t>(r * length + i)] * weight.at({i}) *
                       token.at({r}) +
                   (extras ? bias.at({i}) : 0);
          };
          std::vector<double> exact;
          double largest = 0;
          for (int64_t i = 0; i < half; ++i) {
            const double a = input(i), b = input(i + half);
            exact.push_back((left ? silu(a) * b : silu(b) * a) * (extras ? smooth.at({i}) : 1));
            largest = std::max(largest, std::fabs(exact.back()));
          }
          EXPECT_NEAR(scales[static_cast<size_t>(r)], largest / 127, largest * 1e-8);
          for (int64_t i = 0; i < half; ++i) {
            EXPECT_NEAR(q[static_cast<size_t>(r * half + i)],
                        exact[static_cast<size_t>(i)] * 127 / largest, 0.5 + 1e-3);
          }
        }
      }
    }
  }
}

TEST_F(Gated, DequantSwigluQuantRefusals) {
  char dynamic[] = "dynamic", fixed[] = "static";
  const Tensor x = Tensor::random(ACL_INT32, {2, 6}, 1),
               brain = Tensor::random(ACL_BF16, {2, 6}, 1);
  const Tensor weight = Tensor::random(ACL_FLOAT, {6}, 2), scale = Tensor::output(ACL_FLOAT, {2});
  const Tensor y = Tensor::output(ACL_INT8, {2, 3}), wide = Tensor::output(ACL_INT8, {2, 6});
  const auto call = [&](const aclTensor* in, const aclTensor* w, char* mode, const aclTensor* out) {
    return run(aclnnDequantSwigluQuantGetWorkspaceSize, aclnnDequantSwigluQuant, in, w, nullptr,
               nullptr, nullptr, nullptr, nullptr, true, mode, out, scale);
  };
  EXPECT_EQ(call(x, weight, dynamic, y), 0) << recent_error();
  EXPECT_EQ(call(brain, nullptr, dynamic, y), 0) << recent_error();
  EXPECT_EQ(call(x, nullptr, dynamic, y), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("scales of weights go with INT32"));
  EXPECT_EQ(call(brain, weight, dynamic, y), 161002);
  EXPECT_EQ(call(x, weight, fixed, y), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("got static, but the emulator has dynamic only"));
  EXPECT_EQ(call(x, weight, dynamic, wide), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("INT8 [2, 6], expected shape [2, 3]"));
}

TEST_F(Gated, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 5}, 1), y = Tensor::output(ACL_FLOAT, {2, 2});
  const Tensor even = Tensor::random(ACL_FLOAT, {2, 4}, 1);
  EXPECT_REFUSED(161002, "argument x: got FLOAT [2, 5], whose dimension 1 has no halves",
                 aclnnSwiGlu, x, -1, y);
  EXPECT_REFUSED(161002, "argument dim: got 2, but x FLOAT [2, 4] has dimensions -2 to 1",
                 aclnnSwiGlu, even, 2, y);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [2, 4], expected shape [2, 2]", aclnnSwiGlu, even,
                 1, even);
  EXPECT_REFUSED(161002, "argument approximate: got 2, expected 0 (erf) or 1 (tanh)", aclnnGeGluV3,
                 even, 1, 2, true, y, y);
}

}  // namespace
}  // namespace emulator_test
