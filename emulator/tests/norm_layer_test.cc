// Normalisations and the softmax's loss against double.
#include "aclnnop/norm_layer.h"

#include <cmath>
#include <map>

#include "support.h"

namespace emulator_test {
namespace {

class NormLayer : public DeviceTest {};

struct Statistics {
  double mean = 0, inverse = 0;
};
Statistics statistics(const std::vector<double>& values, double eps) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, variance = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) variance += (value - mean) * (value - mean) / n;
  return {mean, 1 / std::sqrt(variance + eps)};
}

// Statistics of the parts of x, by what `part` makes of a position.
std::map<Shape, Statistics> statistics_by(const Tensor& x, double eps,
                                          const std::function<Shape(const Shape&)>& part) {
  std::map<Shape, std::vector<double>> parts;
  for_each_position(x.dims(), [&](const Shape& at) { parts[part(at)].push_back(x.at(at)); });
  std::map<Shape, Statistics> result;
  for (const auto& [key, values] : parts) result[key] = statistics(values, eps);
  return result;
}

TEST_F(NormLayer, LayerNorm) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE}) {
    for (const bool scattered : {false, true}) {
      for (const size_t kept : {0u, 1u, 2u}) {
        SCOPED_TRACE(testing::Message() << dtype << " " << scattered << " kept " << kept);
        const Shape dims = {3, 5, 7};
        Shape normalised(dims.begin() + static_cast<int64_t>(kept), dims.end()), ones = dims;
        std::fill(ones.begin() + static_cast<int64_t>(kept), ones.end(), 1);
        const Tensor x = Tensor::random(dtype, dims, 1, scattered, -3, 5);
        const Tensor gamma = Tensor::random(dtype, normalised, 2, scattered);
        const Tensor beta = Tensor::random(dtype, normalised, 3);
        const Tensor y = Tensor::output(dtype, dims, !scattered);
        const Tensor mean = Tensor::output(ACL_FLOAT, ones),
                     inverse = Tensor::output(ACL_FLOAT, ones);
        const auto part = [&](const Shape& at) {
          return Shape(at.begin(), at.begin() + static_cast<int64_t>(kept));
        };
        const auto expected = statistics_by(x, 1e-3, part);
        const auto normal = [&](const Shape& at) {
          const auto [m, r] = expected.at(part(at));
          return (x.at(at) - m) * r;
        };
        const double ulps = dtype == ACL_DOUBLE ? 40 : 1.05, absolute = 1e-14;
        RUN(aclnnLayerNorm, x, Ints(normalised), gamma, beta, 1e-3, y, mean, inverse);
        const auto inner = [&](const Shape& at) {
          return Shape(at.begin() + static_cast<int64_t>(kept), at.end());
        };
        expect_values(
            y,
            [&](const Shape& at) { return normal(at) * gamma.at(inner(at)) + beta.at(inner(at)); },
            ulps, absolute);
        expect_values(
            mean, [&](const Shape& at) { return expected.at(part(at)).mean; }, 1.05, absolute);
        expect_values(
            inverse, [&](const Shape& at) { return expected.at(part(at)).inverse; }, 1.05);
        RUN(aclnnLayerNorm, x, Ints(normalised), nullptr, nullptr, 1e-3, y, nullptr, nullptr);
        expect_values(y, normal, ulps, absolute);
      }
    }
  }
}

TEST_F(NormLayer, GroupNorm) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const Shape& dims : {Shape{2, 6, 3, 5}, Shape{3, 6}, Shape{1, 6, 4}}) {
      for (const int64_t groups : {1, 2, 6}) {
        SCOPED_TRACE(testing::Message() << dtype << testing::PrintToString(dims) << groups);
        const bool scattered = groups == 2;
        const Tensor x = Tensor::random(dtype, dims, 1, scattered, -3, 5);
        const Tensor gamma = Tensor::random(dtype, {6}, 2), beta = Tensor::random(dtype, {6}, 3);
        const Tensor y = Tensor::output(dtype, dims, !scattered);
        const Tensor mean = Tensor::output(ACL_FLOAT, {dims[0], groups}),
                     inverse = Tensor::output(dtype, {dims[0], groups});
        int64_t plane = 1;
        for (size_t i = 2; i < dims.size(); ++i) plane *= dims[i];
        const auto part = [&](const Shape& at) { return Shape{at[0], at[1] * groups / 6}; };
        const auto expected = statistics_by(x, 1e-5, part);
        const auto normal = [&](const Shape& at) {
          const auto [m, r] = expected.at(part(at));
          return (x.at(at) - m) * r;
        };
        RUN(aclnnGroupNorm, x, gamma, beta, dims[0], 6, plane, groups, 1e-5, y, mean, inverse);
        expect_values(
            y, [&](const Shape& at) { return normal(at) * gamma.at({at[1]}) + beta.at({at[1]}); },
            1.05, 1e-14);
        expect_values(mean, [&](const Shape& at) { return expected.at(at).mean; }, 1.05, 1e-14);
        expect_values(inverse, [&](const Shape& at) { return expected.at(at).inverse; }, 1.05);
        RUN(aclnnGroupNorm, x, nullptr, nullptr, dims[0], 6, plane, groups, 1e-5, y, mean, inverse);
        expect_values(y, normal, 1.05, 1e-14);
      }
    }
  }
}

TEST_F(NormLayer, CrossEntropy) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    const Tensor x = Tensor::random(dtype, {4, 33}, 1, true, -30, 60);
    const Tensor labels = Tensor::random(dtype, {4, 33}, 2, true, 0, 1);
    const Tensor loss = Tensor::output(dtype, {4}), gradient = Tensor::output(dtype, {4, 33}, true);
    RUN(aclnnSoftmaxCrossEntropyWithLogits, x, labels, loss, gradient);
    const auto total = [&](int64_t row) {
      double sum = 0;
      for (int64_t i = 0; i < 33; ++i) sum += std::exp(x.at({row, i}));
      return std::log(sum);
    };
    expect_values(
        loss,
        [&](const Shape& at) {
          double sum = 0;
          for (int64_t i = 0; i < 33; ++i)
            sum += labels.at({at[0], i}) * (total(at[0]) - x.at({at[0], i}));
          return sum;
        },
        1.05);
    expect_values(
        gradient,
        [&](const Shape& at) { return std::exp(x.at(at) - total(at[0])) - labels.at(at); }, 1.05,
        1e-14);
  }
}

TEST_F(NormLayer, EmptyOnesAndRefusals) {
  const Tensor none = Tensor::output(ACL_FLOAT, {0, 5});
  RUN(aclnnLayerNorm, none, Ints({5}), nullptr, nullptr, 1e-5, none, nullptr, nullptr);
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 6, 3}, 1),
               y = Tensor::output(ACL_FLOAT, {2, 6, 3});
  const Tensor statistics = Tensor::output(ACL_FLOAT, {2, 2}), row = Tensor::output(ACL_FLOAT, {2});
  EXPECT_REFUSED(161002, "argument normalizedShape: got 6, but input FLOAT [2, 6, 3] ends with 3",
                 aclnnLayerNorm, x, Ints({6}), nullptr, nullptr, 1e-5, y, nullptr, nullptr);
  EXPECT_REFUSED(161002, "argument normalizedShape: got 4 numbers, expected 1 to 3", aclnnLayerNorm,
                 x, Ints({1, 2, 6, 3}), nullptr, nullptr, 1e-5, y, nullptr, nullptr);
  EXPECT_REFUSED(161002, "argument weightOptional: got FLOAT [2], expected shape [3]",
                 aclnnLayerNorm, x, Ints({3}), row, nullptr, 1e-5, y, nullptr, nullptr);
  EXPECT_REFUSED(161002, "arguments N, C, HxW: got 2, 6, 4, but self is FLOAT [2, 6, 3]",
                 aclnnGroupNorm, x, nullptr, nullptr, 2, 6, 4, 2, 1e-5, y, statistics, statistics);
  EXPECT_REFUSED(161002, "argument group: got 4, which does not divide the 6 channels",
                 aclnnGroupNorm, x, nullptr, nullptr, 2, 6, 3, 4, 1e-5, y, statistics, statistics);
  EXPECT_REFUSED(161001, "argument meanOut is null", aclnnGroupNorm, x, nullptr, nullptr, 2, 6, 3,
                 2, 1e-5, y, nullptr, statistics);
  EXPECT_REFUSED(161002, "argument loss: got FLOAT [2, 2], expected shape [2]",
                 aclnnSoftmaxCrossEntropyWithLogits, statistics, statistics, statistics,
                 statistics);
}

}  // namespace
}  // namespace emulator_test
