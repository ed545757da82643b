// Which experts a token goes to: aclnnMoeGatingTopKSoftmaxV2 and aclnnMoeGatingTopK.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "aclnnop/moe.h"
#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/softmax.h"
#include "ops/topk.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kGatingDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};
constexpr float kHidden = -std::numeric_limits<float>::infinity();

struct Gating {
  Tensor x, weights, experts, finished;
  int64_t k = 0;
};

Gating gating_of(Op& op, const aclTensor* x, const aclTensor* finished, int64_t k,
                 const aclTensor* weights, const aclTensor* experts) {
  Gating g;
  op.require(!soc().is_310p(), "{} does not have this operator", soc().name);
  g.x = op.in("x", x, kGatingDtypes);
  g.finished = op.optional_in("finishedOptional", finished, kBool);
  g.weights = op.out("yOut", weights, kGatingDtypes);
  g.experts = op.out("expertIdxOut", experts, {ACL_INT32});
  g.k = k;
  op.expect_rank(g.x, 2, 3);
  op.expect_dtype(g.weights, g.x.dtype());
  op.require(k <= 1024, "argument k: got {}, expected at most 1024", k);
  op.require(k >= 1 && k <= g.x.dims().back(),
             "argument k: got {}, expected 1 to the {} experts of x", k, g.x.dims().back());
  Dims dims = g.x.dims();
  dims[dims.size() - 1] = k;
  op.expect_shape(g.weights, dims);
  op.expect_shape(g.experts, dims);
  if (g.finished.present()) {
    dims.erase(dims.size() - 1);
    op.expect_shape(g.finished, dims);
  }
  op.cost().vector_ops = 12 * static_cast<double>(g.x.count());
  return g;
}

// One token's choice: experts in order, and their weights.
struct Choice {
  std::vector<int64_t> experts;
  std::vector<float> weights;
};

// Calls choose(row, scores) for every token, on several threads.
void run(const Gating& g, const std::function<Choice(int64_t, std::vector<float>&)>& choose) {
  const View x = g.x.view(), weights = g.weights.view(), experts = g.experts.view();
  if (x.count() == 0) return;
  const int64_t count = x.row_length();
  const std::vector<int64_t> finished =
      g.finished.present() ? read<int64_t>(g.finished.view()) : std::vector<int64_t>();
  parallel_for(x.rows(), row_grain(8 * count), [&](int64_t begin, int64_t end) {
    std::vector<float> scores(static_cast<size_t>(count));
    for (int64_t row = begin; row < end; ++row) {
      x.load_row(row, scores.data());
      Choice choice = choose(row, scores);
      const bool done = !finished.empty() && finished[static_cast<size_t>(row)] != 0;
      if (done) std::ranges::fill(choice.experts, count);
      weights.store_row(row, choice.weights.data());
      experts.store_row(row, choice.experts.data());
    }
  });
}

Choice largest(const std::vector<float>& scores, int64_t k) {
  Choice choice{top_indices(scores.data(), std::ssize(scores), k, true), {}};
  for (const int64_t expert : choice.experts) {
    choice.weights.push_back(scores[static_cast<size_t>(expert)]);
  }
  return choice;
}

struct Grouped {
  int64_t groups, kept;  // of experts; how many are kept
  bool by_two;           // a group's score: its two largest, else its largest
};

// Hides the experts outside of the best groups.
void keep_groups(const Grouped& grouped, std::vector<float>& scores) {
  if (grouped.kept == grouped.groups) return;
  const auto size = scores.size() / static_cast<size_t>(grouped.groups);
  std::vector<float> totals;
  for (size_t g = 0; g < scores.size(); g += size) {
    const auto best =
        top_indices(scores.data() + g, static_cast<int64_t>(size), grouped.by_two ? 2 : 1, true);
    float total = 0;
    for (const int64_t i : best) total += scores[g + static_cast<size_t>(i)];
    totals.push_back(total);
  }
  std::vector<bool> kept(totals.size(), false);
  for (const int64_t g : top_indices(totals.data(), std::ssize(totals), grouped.kept, true)) {
    kept[static_cast<size_t>(g)] = true;
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!kept[i / size]) scores[i] = kHidden;
  }
}

// Divides by the sum, and scales.
void normalise(std::vector<float>& weights, float eps, float factor) {
  float sum = eps;
  for (const float weight : weights) sum += weight;
  for (float& weight : weights) weight = weight / sum * factor;
}

}  // namespace

// clang-format off
ACLNN(aclnnMoeGatingTopKSoftmaxV2, const aclTensor* x, const aclTensor* finishedOptional, int64_t k, int64_t renorm, bool outputSoftmaxResultFlag, const aclTensor* yOut, const aclTensor* expertIdxOut, const aclTensor* softmaxResultOutOptional) {
  const Gating g = gating_of(op, x, finishedOptional, k, yOut, expertIdxOut);
  op.require(renorm == 0 || renorm == 1, "argument renorm: got {}, expected 0 or 1", renorm);
  Tensor all;
  if (outputSoftmaxResultFlag && renorm == 0) {
    all = op.out("softmaxResultOutOptional", softmaxResultOutOptional, {ACL_FLOAT});
    op.expect_shape(all, g.x.dims());
  }
  op.compute([=] {
    const View softmax = all.present() ? all.view() : View();
    run(g, [&](int64_t row, std::vector<float>& scores) {
      if (renorm == 0) softmax_row(scores.data(), std::ssize(scores));
      if (all.present()) softmax.store_row(row, scores.data());
      Choice choice = largest(scores, g.k);
      if (renorm == 1) softmax_row(choice.weights.data(), g.k);
      return choice;
    });
  });
} ACLNN_END
ACLNN(aclnnMoeGatingTopK, const aclTensor* x, const aclTensor* biasOptional, int64_t k, int64_t kGroup, int64_t groupCount, int64_t groupSelectMode, int64_t renorm, int64_t normType, bool outFlag, double routedScalingFactor, double eps, const aclTensor* yOut, const aclTensor* expertIdxOut, const aclTensor* outOut) {
  const Gating g = gating_of(op, x, nullptr, k, yOut, expertIdxOut);
  const int64_t experts = g.x.dims().back();
  const Tensor bias = op.optional_in("biasOptional", biasOptional, kGatingDtypes);
  if (bias.present()) op.expect_shape(bias, {experts});
  if (bias.present()) op.expect_dtype(bias, g.x.dtype());
  op.require(groupCount >= 1 && experts % groupCount == 0, "argument groupCount: got {}, expected a divisor of the {} experts of x", groupCount, experts);
  op.require(kGroup >= 1 && kGroup <= groupCount, "argument kGroup: got {}, expected 1 to groupCount {}", kGroup, groupCount);
  op.require(k <= kGroup * (experts / groupCount), "argument k: got {}, but {} groups of {} experts are kept", k, kGroup, experts / groupCount);
  op.require(groupSelectMode == 0 || (groupSelectMode == 1 && experts / groupCount >= 2), "argument groupSelectMode: got {}, expected 0, or 1 for groups of at least two experts", groupSelectMode);
  op.require(renorm == 0, "argument renorm: got {}, expected 0", renorm);
  op.require(normType == 0 || normType == 1, "argument normType: got {}, expected 0 (softmax) or 1 (sigmoid)", normType);
  Tensor all;
  if (outFlag) {
    all = op.out("outOut", outOut, {ACL_FLOAT});
    op.expect_shape(all, g.x.dims());
  }
  const Grouped grouped{groupCount, kGroup, groupSelectMode == 1};
  op.compute([=, factor = static_cast<float>(routedScalingFactor), least = static_cast<float>(eps)] {
    const View activated = all.present() ? all.view() : View();
    const std::vector<float> shifts = bias.present() ? read<float>(bias.view()) : std::vector<float>();
    run(g, [&](int64_t row, std::vector<float>& scores) {
      if (normType == 0) softmax_row(scores.data(), experts);
      for (float& score : scores) score = normType == 1 ? 1.0f / (1.0f + exponential(-score)) : score;
      if (all.present()) activated.store_row(row, scores.data());
      std::vector<float> ranked = scores;
      for (size_t i = 0; i < shifts.size(); ++i) ranked[i] += shifts[i];
      keep_groups(grouped, ranked);
      Choice choice = largest(ranked, g.k);
      for (size_t i = 0; i < choice.weights.size(); ++i) choice.weights[i] = scores[static_cast<size_t>(choice.experts[i])];
      if (normType == 1) {
        normalise(choice.weights, least, factor);
      } else {
        for (float& weight : choice.weights) weight *= factor;
      }
      return choice;
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
