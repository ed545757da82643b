// Normalisations with mean and variance, and the loss of a softmax. Floats are summed in double and
// rounded once, so that the order does not show.
#include "aclnnop/norm_layer.h"

#include <cmath>
#include <vector>

#include "ops/map_rows.h"

namespace lotse::emulator {
namespace {

struct Statistics {
  double mean, inverse;  // inverse: of the standard deviation
};

Statistics statistics_of(std::span<const double> values, double eps) {
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, 1 / std::sqrt(squares / static_cast<double>(values.size()) + eps)};
}

// All of `tensor`, or `count` times `otherwise` when it was left out.
std::vector<double> values_of(const Tensor& tensor, int64_t count, double otherwise) {
  if (tensor.present()) return read<double>(tensor.view());
  return std::vector<double>(static_cast<size_t>(count), otherwise);
}

struct Normalisation {
  Tensor x, gamma, beta, out, mean_out, inverse_out;
  int64_t count = 1;  // of normalised parts, which follow each other in row-major order
  int64_t size = 1;   // of one part
  double eps = 0;

  // scale(part, i) is the index into gamma and beta, which have `scales` elements.
  template <class F>
  void run(const View& from, const View& to, int64_t scales, const F& scale) const {
    std::vector<double> means(static_cast<size_t>(count)), inverses(means);
    const std::vector<double> factors = values_of(gamma, scales, 1);
    const std::vector<double> offsets = values_of(beta, scales, 0);
    const int64_t rows = size == 0 ? 0 : size / from.row_length();
    parallel_for(count, row_grain(size), [&](int64_t begin, int64_t end) {
      std::vector<double> part(static_cast<size_t>(size));
      for (int64_t p = begin; p < end; ++p) {
        load_rows(from, p * rows, rows, part.data());
        const auto [mean, inverse] = statistics_of(part, eps);
        for (int64_t i = 0; i < size; ++i) {
          const auto s = static_cast<size_t>(scale(p, i));
          double& value = part[static_cast<size_t>(i)];
          value = (value - mean) * inverse * factors[s] + offsets[s];
        }
        store_rows(to, p * rows, rows, part.data());
        means[static_cast<size_t>(p)] = mean;
        inverses[static_cast<size_t>(p)] = inverse;
      }
    });
    if (mean_out.present()) write<double>(mean_out.view(), means);
    if (inverse_out.present()) write<double>(inverse_out.view(), inverses);
  }
};

// log Σ exp(row)
double log_sum(std::span<const double> row) {
  double most = -INFINITY, sum = 0;
  for (const double value : row) most = std::max(most, value);
  for (const double value : row) sum += std::exp(value - most);
  return most + std::log(sum);
}

}  // namespace

// clang-format off
ACLNN(aclnnLayerNorm, const aclTensor* input, const aclIntArray* normalizedShape, const aclTensor* weightOptional, const aclTensor* biasOptional, double eps, aclTensor* out, aclTensor* meanOutOptional, aclTensor* rstdOutOptional) {
  Normalisation n;
  n.x = op.in("input", input, kFloating);
  n.gamma = op.optional_in("weightOptional", weightOptional, kFloating);
  n.beta = op.optional_in("biasOptional", biasOptional, kFloating);
  n.out = op.out("out", out, kFloating);
  n.mean_out = op.optional_out("meanOutOptional", meanOutOptional, kFloating);
  n.inverse_out = op.optional_out("rstdOutOptional", rstdOutOptional, kFloating);
  n.eps = eps;
  const std::vector<int64_t> shape = op.ints("normalizedShape", normalizedShape);
  const int64_t kept = n.x.rank() - std::ssize(shape);
  op.require(!shape.empty() && kept >= 0, "argument normalizedShape: got {} numbers, expected 1 to {} for input {}",
             shape.size(), n.x.rank(), n.x.desc().text());
  Dims normalised, statistics;
  for (int64_t i = 0; i < n.x.rank(); ++i) {
    statistics.push_back(i < kept ? n.x.size(i) : 1);
    if (i < kept) n.count *= n.x.size(i);
    if (i < kept) continue;
    normalised.push_back(n.x.size(i));
    op.require(shape[static_cast<size_t>(i - kept)] == n.x.size(i), "argument normalizedShape: got {}, but input {} ends with {}",
               shape[static_cast<size_t>(i - kept)], n.x.desc().text(), n.x.size(i));
  }
  n.size = normalised.product();
  op.expect_shape(n.out, n.x.dims());
  for (const Tensor& scale : {n.gamma, n.beta}) {
    if (scale.present()) op.expect_shape(scale, normalised);
  }
  for (const Tensor& statistic : {n.mean_out, n.inverse_out}) {
    if (statistic.present()) op.expect_shape(statistic, statistics);
  }
  op.compute([n] { n.run(n.x.view(), n.out.view(), n.size, [](int64_t, int64_t i) { return i; }); });
} ACLNN_END

ACLNN(aclnnGroupNorm, const aclTensor* self, const aclTensor* gamma, const aclTensor* beta, int64_t N, int64_t C, int64_t HxW, int64_t group, double eps, aclTensor* out, aclTensor* meanOut, aclTensor* rstdOut) {
  Normalisation n;
  n.x = op.in("self", self, kFloating);
  n.gamma = op.optional_in("gamma", gamma, kFloating);
  n.beta = op.optional_in("beta", beta, kFloating);
  n.out = op.out("out", out, kFloating);
  n.mean_out = op.out("meanOut", meanOut, kFloating);
  n.inverse_out = op.out("rstdOut", rstdOut, kFloating);
  n.eps = eps;
  op.expect_rank(n.x, 2, kMaxRank);
  const int64_t samples = n.x.size(0), channels = n.x.size(1);
  int64_t plane = 1;
  for (int64_t i = 2; i < n.x.rank(); ++i) plane *= n.x.size(i);
  op.require(N == samples && C == channels && HxW == plane, "arguments N, C, HxW: got {}, {}, {}, but self is {}",
             N, C, HxW, n.x.desc().text());
  op.require(group > 0 && C % group == 0, "argument group: got {}, which does not divide the {} channels", group, C);
  op.expect_shape(n.out, n.x.dims());
  for (const Tensor& scale : {n.gamma, n.beta}) {
    if (scale.present()) op.expect_shape(scale, {C});
  }
  op.expect_shape(n.mean_out, {N, group});
  op.expect_shape(n.inverse_out, {N, group});
  n.count = N * group;
  n.size = C / group * HxW;
  op.compute([=] {
    // Without planes a row would be all channels, and a group a part of it.
    const bool flat = n.x.rank() == 2;
    const View from = flat ? n.x.view().unsqueezed(2) : n.x.view(), to = flat ? n.out.view().unsqueezed(2) : n.out.view();
    n.run(from, to, C, [=](int64_t part, int64_t i) { return part % group * (C / group) + i / HxW; });
  });
} ACLNN_END

// loss = Σ labels · (log Σ exp(features) - features), backprop = softmax(features) - labels
ACLNN(aclnnSoftmaxCrossEntropyWithLogits, const aclTensor* features, const aclTensor* labels, aclTensor* loss, aclTensor* backprop) {
  const Tensor x = op.in("features", features, kFloating), target = op.in("labels", labels, kFloating);
  const Tensor y = op.out("loss", loss, kFloating), gradient = op.out("backprop", backprop, kFloating);
  op.expect_rank(x, 2, 2);
  op.expect_shape(target, x.dims());
  op.expect_shape(y, {x.size(0)});
  op.expect_shape(gradient, x.dims());
  op.compute([=] {
    const View wanted = target.view();
    std::vector<double> losses(static_cast<size_t>(x.size(0)), 0.0);
    map_rows<double>(x.view(), gradient.view(), [&](int64_t row, auto from, auto to) {
      wanted.load_row(row, to.data());
      const double total = log_sum(from);
      for (size_t i = 0; i < to.size(); ++i) {
        if (to[i] != 0) losses[static_cast<size_t>(row)] += to[i] * (total - from[i]);
        to[i] = std::exp(from[i] - total) - to[i];
      }
    });
    write<double>(y.view(), losses);
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
