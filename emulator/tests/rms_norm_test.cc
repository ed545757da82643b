// RMS norms against double.
#include "aclnnop/rms_norm.h"

#include <cmath>

#include "support.h"

namespace emulator_test {
namespace {

class RmsNorm : public DeviceTest {};

constexpr double kEpsilon = 1e-5;
constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// Roundings of the result; FLOAT also sees those of the two products.
double ulps(aclDataType dtype) { return dtype == ACL_FLOAT ? 5 : 1.05; }

// 1 / √(mean + ε) of the norm to which a position belongs; x's dimensions from `first` on count.
double inverse_at(const std::vector<double>& values, const Shape& dims, const Shape& at,
                  size_t first) {
  size_t outer = 0, inner = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i < first) {
      outer = outer * static_cast<size_t>(dims[i]) + static_cast<size_t>(at[i]);
    } else {
      inner *= static_cast<size_t>(dims[i]);
    }
  }
  double sum = 0;
  for (size_t i = 0; i < inner; ++i) sum += values[outer * inner + i] * values[outer * inner + i];
  return 1 / std::sqrt(sum / static_cast<double>(inner) + kEpsilon);
}

TEST_F(RmsNorm, OverShapesTypesAndStrides) {
  struct Case {
    Shape x, gamma, rstd;
  };
  const Case cases[] = {{{7}, {7}, {1}},
                        {{5, 33}, {33}, {5, 1}},
                        {{2, 3, 131}, {131}, {2, 3}},
                        {{4, 3, 5}, {3, 5}, {4, 1, 1}},
                        {{19, 1031}, {1031}, {19}},
                        {{0, 9}, {9}, {0, 1}}};
  for (const Case& shapes : cases) {
    for (const aclDataType dtype : kTypes) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << testing::PrintToString(shapes.x) << dtype << scattered);
        const Tensor x = Tensor::random(dtype, shapes.x, 1, scattered);
        const Tensor gamma = Tensor::random(dtype, shapes.gamma, 2, scattered);
        const Tensor y = Tensor::output(dtype, shapes.x, !scattered);
        const Tensor rstd = Tensor::output(ACL_FLOAT, shapes.rstd, scattered);
        RUN(aclnnRmsNorm, x, gamma, kEpsilon, y, rstd);
        const size_t first = shapes.x.size() - shapes.gamma.size();
        expect_values(
            y,
            [&](const Shape& at) {
              return x.at(at) * inverse_at(x.values(), shapes.x, at, first) * gamma.at(at);
            },
            ulps(dtype));
        expect_values(
            rstd,
            [&](const Shape& at) {
              Shape position = at;
              position.resize(shapes.x.size(), 0);
              if (first == 0) position.assign(shapes.x.size(), 0);
              return inverse_at(x.values(), shapes.x, position, first);
            },
            1.01);
      }
    }
  }
}

TEST_F(RmsNorm, HalfTypesTakeFloatGamma) {
  const Tensor x = Tensor::random(ACL_BF16, {3, 17}, 1), gamma = Tensor::random(ACL_FLOAT, {17}, 2);
  const Tensor y = Tensor::output(ACL_BF16, {3, 17}), rstd = Tensor::output(ACL_FLOAT, {3, 1});
  RUN(aclnnRmsNorm, x, gamma, kEpsilon, y, rstd);
  expect_values(
      y,
      [&](const Shape& at) {
        return x.at(at) * inverse_at(x.values(), x.dims(), at, 1) * gamma.at(at);
      },
      1.05);
}

TEST_F(RmsNorm, OfASumNormalisesTheRoundedSum) {
  for (const aclDataType dtype : kTypes) {
    for (const bool scattered : {false, true}) {
      SCOPED_TRACE(testing::Message() << dtype << scattered);
      const Shape dims = {3, 5, 67};
      const Tensor a = Tensor::random(dtype, dims, 1, scattered);
      const Tensor b = Tensor::random(dtype, dims, 2, !scattered);
      const Tensor gamma = Tensor::random(dtype, {67}, 3);
      const Tensor y = Tensor::output(dtype, dims, scattered), x = Tensor::output(dtype, dims);
      const Tensor rstd = Tensor::output(ACL_FLOAT, {3, 5, 1});
      RUN(aclnnAddRmsNorm, a, b, gamma, kEpsilon, y, rstd, x);
      expect_values(x, [&](const Shape& at) { return a.at(at) + b.at(at); });
      const Tensor sum(dtype, dims, x.fetch());
      expect_values(
          y,
          [&](const Shape& at) {
            return sum.at(at) * inverse_at(sum.values(), dims, at, 2) * gamma.at(at);
          },
          ulps(dtype));
    }
  }
}

// The norm itself is within a few units of FLOAT, so that an integer may differ where the exact
// number is that close to a half.
void expect_quantised(const Tensor& y, const Tensor& scale, const Tensor& sum, const Tensor& gamma,
                      const Tensor* smooth) {
  const int64_t length = sum.dims().back();
  const std::vector<double> q = y.fetch(), scales = scale.fetch();
  for (int64_t r = 0; r < sum.count() / length; ++r) {
    const double* x = sum.values().data() + r * length;
    double squares = 0, largest = 0;
    for (int64_t i = 0; i < length; ++i) squares += x[i] * x[i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(length) + kEpsilon);
    std::vector<double> exact;
    for (int64_t i = 0; i < length; ++i) {
      exact.push_back(x[i] * inverse * gamma.at({i}) * (smooth == nullptr ? 1 : smooth->at({i})));
      largest = std::max(largest, std::fabs(exact.back()));
    }
    EXPECT_NEAR(scales[static_cast<size_t>(r)], largest / 127, largest * 1e-8);
    for (int64_t i = 0; i < length; ++i) {
      EXPECT_NEAR(q[static_cast<size_t>(r * length + i)],
                  exact[static_cast<size_t>(i)] * 127 / largest, 0.5 + 1e-4);
    }
  }
}

TEST_F(RmsNorm, OfASumQuantisesWithoutARoundingBefore) {
  for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
    for (const Shape& dims : {Shape{1, 8}, Shape{5, 67}, Shape{2, 3, 1031}}) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << testing::PrintToString(dims) << scattered);
        const Shape rows(dims.begin(), dims.end() - 1);
        const Tensor a = Tensor::random(dtype, dims, 1, scattered),
                     b = Tensor::random(dtype, dims, 2);
        const Tensor gamma = Tensor::random(dtype, {dims.back()}, 3);
        const Tensor smooth1 = Tensor::random(dtype, {dims.back()}, 4, false, 0.5, 2);
        const Tensor smooth2 = Tensor::random(dtype, {dims.back()}, 5, false, 0.5, 2);
        const Tensor y1 = Tensor::output(ACL_INT8, dims, scattered);
        const Tensor y2 = Tensor::output(ACL_INT8, dims),
                     x = Tensor::output(dtype, dims, scattered);
        const Tensor scale1 = Tensor::output(ACL_FLOAT, rows),
                     scale2 = Tensor::output(ACL_FLOAT, rows);
        RUN(aclnnAddRmsNormDynamicQuant, a, b, gamma, nullptr, nullptr, kEpsilon, y1, y2, x, scale1,
            scale2);
        expect_values(x, [&](const Shape& at) { return a.at(at) + b.at(at); });
        const Tensor sum(dtype, dims, x.fetch());
        expect_quantised(y1, scale1, sum, gamma, nullptr);
        RUN(aclnnAddRmsNormDynamicQuant, a, b, gamma, smooth1, smooth2, kEpsilon, y1, y2, x, scale1,
            scale2);
        expect_quantised(y1, scale1, sum, gamma, &smooth1);
        expect_quantised(y2, scale2, sum, gamma, &smooth2);
      }
    }
  }
  const Tensor wide = Tensor::random(ACL_FLOAT, {2, 6}, 1), y = Tensor::output(ACL_INT8, {2, 6});
  const Tensor scale = Tensor::output(ACL_FLOAT, {2});
  EXPECT_REFUSED(161002, "argument x1: got FLOAT [2, 6]", aclnnAddRmsNormDynamicQuant, wide, wide,
                 wide, nullptr, nullptr, kEpsilon, y, y, wide, scale, scale);
}

TEST_F(RmsNorm, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {2, 6}, 1), y = Tensor::output(ACL_FLOAT16, {2, 6});
  const Tensor gamma = Tensor::random(ACL_FLOAT16, {5}, 1), good = Tensor::random(ACL_BF16, {6}, 1);
  const Tensor rstd = Tensor::output(ACL_FLOAT, {2, 1}), wide = Tensor::output(ACL_FLOAT, {2, 6});
  const Tensor half = Tensor::random(ACL_FLOAT16, {6}, 1);
  EXPECT_REFUSED(161002,
                 "aclnnRmsNorm: argument gamma: got FLOAT16 [5], which is not the end of the shape "
                 "of x FLOAT16 [2, 6]",
                 aclnnRmsNorm, x, gamma, kEpsilon, y, rstd);
  EXPECT_REFUSED(161002, "argument gamma: got BF16 [6], expected FLOAT16 as x, or FLOAT",
                 aclnnRmsNorm, x, good, kEpsilon, y, rstd);
  EXPECT_REFUSED(161002, "argument rstdOut: got FLOAT [2, 6], expected 2 elements", aclnnRmsNorm, x,
                 half, kEpsilon, y, wide);
  EXPECT_REFUSED(161002, "argument yOut: got FLOAT [2, 6], expected FLOAT16", aclnnRmsNorm, x, half,
                 kEpsilon, wide, rstd);
  EXPECT_REFUSED(161001, "argument gamma is null", aclnnRmsNorm, x, nullptr, kEpsilon, y, rstd);
  EXPECT_REFUSED(161002, "argument x2: got FLOAT [2, 6], expected FLOAT16", aclnnAddRmsNorm, x,
                 wide, half, kEpsilon, y, rstd, y);
}

}  // namespace
}  // namespace emulator_test
