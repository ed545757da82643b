// aclnnMultinomial.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "aclnnop/moe.h"
#include "ops/op.h"
#include "ops/topk.h"

namespace lotse::emulator {
namespace {

// A number in (0, 1) that the seed and its place give: SplitMix64's finaliser.
double uniform(uint64_t seed, uint64_t place) {
  uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
}

// Draws by the running sums of the weights.
void draw_with_replacement(const std::vector<double>& weights, uint64_t seed, uint64_t place,
                           std::vector<int64_t>& drawn) {
  std::vector<double> sums(weights.size());
  std::partial_sum(weights.begin(), weights.end(), sums.begin());
  for (size_t i = 0; i < drawn.size(); ++i) {
    const double target = uniform(seed, place + i) * sums.back();
    drawn[i] = std::ranges::upper_bound(sums, target) - sums.begin();
  }
}

// The first to arrive, when each waits for an exponential time at its weight's rate.
void draw_distinct(const std::vector<double>& weights, uint64_t seed, uint64_t place,
                   std::vector<int64_t>& drawn) {
  std::vector<double> times;
  for (size_t i = 0; i < weights.size(); ++i) {
    times.push_back(weights[i] > 0 ? -std::log(uniform(seed, place + i)) / weights[i] : INFINITY);
  }
  drawn = top_indices(times.data(), std::ssize(times), std::ssize(drawn), false);
}

}  // namespace

// clang-format off
ACLNN(aclnnMultinomial, const aclTensor* self, int64_t numsamples, bool replacement, int64_t seed, int64_t offset, aclTensor* out) {
  const Tensor x = op.in("self", self, kFloating), y = op.out("out", out, {ACL_INT64});
  op.expect_rank(x, 1, 2);
  const int64_t categories = x.dims().back();
  op.require(numsamples >= 1 && (replacement || numsamples <= categories), "argument numsamples: got {}, expected 1 or more{}", numsamples, replacement ? "" : fmt::format(", at most {} without replacement", categories));
  Dims dims = x.dims();
  dims[dims.size() - 1] = numsamples;
  op.expect_shape(y, dims);
  op.compute([=] {
    const View from = x.view(), to = y.view();
    std::vector<double> weights(static_cast<size_t>(categories));
    std::vector<int64_t> drawn(static_cast<size_t>(numsamples));
    for (int64_t row = 0; x.count() > 0 && row < from.rows(); ++row) {
      from.load_row(row, weights.data());
      int64_t possible = 0;
      for (const double weight : weights) {
        if (!(weight >= 0) || std::isinf(weight)) fail(kVectorFault, "argument self: row {} holds {}, which is no weight", row, weight);
        possible += weight > 0 ? 1 : 0;
      }
      if (possible < (replacement ? 1 : numsamples)) fail(kVectorFault, "argument self: row {} has {} weights above 0, but {} are drawn", row, possible, numsamples);
      const auto place = static_cast<uint64_t>(offset) + static_cast<uint64_t>(row * std::max(categories, numsamples));
      (replacement ? draw_with_replacement : draw_distinct)(weights, static_cast<uint64_t>(seed), place, drawn);
      to.store_row(row, drawn.data());
    }
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
