// Tokens to their experts and back: aclnnMoeInitRouting and V2, aclnnMoeFinalizeRoutingV2,
// aclnnMoeTokenUnpermute.
#include <algorithm>
#include <numeric>
#include <vector>

#include "aclnnop/moe.h"
#include "ops/moe_rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kRoutedDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// Sums weighted rows: out[i] = start(i) + Σ over j of factor(i, j) · (from[row(i, j)] + bias).
struct Combination {
  Tensor from, index, factors, bias, experts, first, second, out;
  int64_t count = 0, k = 0;  // tokens; experts of each
  bool by_columns = false;   // (i, j) stands at j · count + i in `index`, else at i · k + j

  void run() const {
    const View rows = from.view(), result = out.view();
    const std::vector<int64_t> indices = read<int64_t>(index.view());
    expect_within(index, indices, -1, rows.rows() - 1);
    const std::vector<float> scales =
        factors.present() ? read<float>(factors.view()) : std::vector<float>();
    const std::vector<int64_t> chosen =
        bias.present() ? read<int64_t>(experts.view()) : std::vector<int64_t>();
    if (bias.present()) expect_within(experts, chosen, 0, bias.size(0) - 1);
    const View shifts = bias.present() ? bias.view() : View();
    const View a = first.present() ? first.view() : View();
    const View b = second.present() ? second.view() : View();
    const int64_t length = out.size(1);
    parallel_for(count, row_grain(length * (k + 2)), [&](int64_t begin, int64_t end) {
      std::vector<float> sum(at(length)), row(at(length)), shift(at(length));
      const auto add = [&](const View& view, int64_t r) {
        view.load_row(r, row.data());
        for (size_t c = 0; c < sum.size(); ++c) sum[c] += row[c];
      };
      for (int64_t i = begin; i < end; ++i) {
        std::ranges::fill(sum, 0.0f);
        if (first.present()) add(a, i);
        if (second.present()) add(b, i);
        for (int64_t j = 0; j < k; ++j) {
          const int64_t r = indices[at(by_columns ? j * count + i : i * k + j)];
          if (r < 0) continue;
          rows.load_row(r, row.data());
          if (bias.present()) shifts.load_row(chosen[at(i * k + j)], shift.data());
          const float scale = scales.empty() ? 1 : scales[at(i * k + j)];
          for (size_t c = 0; c < sum.size(); ++c) sum[c] += scale * (row[c] + shift[c]);
        }
        result.store_row(i, sum.data());
      }
    });
  }
};

struct Routing {
  Tensor x, experts, expanded, places;
  int64_t count = 0, k = 0;
};

Routing routing_of(Op& op, const aclTensor* x, const aclTensor* experts, const aclTensor* expanded,
                   const aclTensor* places) {
  Routing r;
  r.x = op.in("x", x, kRoutedDtypes);
  r.experts = op.in("expertIdx", experts, {ACL_INT32});
  r.expanded = op.out("expandedXOut", expanded, kRoutedDtypes);
  r.places = op.out("expandedRowIdxOut", places, {ACL_INT32});
  op.expect_rank(r.x, 2, 2);
  op.expect_rank(r.experts, 2, 2);
  op.require(r.experts.size(0) == r.x.size(0), "{}, expected a row for each of x {}",
             r.experts.text(), r.x.desc().text());
  op.expect_dtype(r.expanded, r.x.dtype());
  r.count = r.x.size(0);
  r.k = r.experts.size(1);
  op.expect_shape(r.places, {r.count * r.k});
  return r;
}

// The second version's outputs and modes.
struct RoutingV2 : Routing {
  Tensor counts, before;
  int64_t capacity = 0, expert_count = 0, totals = 0;
  bool drops = false;

  void run() const {
    const std::vector<int64_t> keys = read<int64_t>(experts.view());
    if (expert_count > 0) expect_within(experts, keys, 0, expert_count - 1);
    const std::vector<int64_t> order = sorted_by(keys);
    std::vector<int64_t> tokens(at(expert_count), 0), place(keys.size(), -1), source;
    if (drops) source.assign(at(expert_count * capacity), -1);
    for (int64_t i = 0; i < std::ssize(order); ++i) {
      const int64_t flat = order[at(i)];
      if (!drops) {
        place[at(flat)] = i;
        if (i < expanded.size(0)) source.push_back(flat / k);
      }
      if (expert_count == 0) continue;
      const int64_t expert = keys[at(flat)], taken = tokens[at(expert)]++;
      if (!drops || taken >= capacity) continue;
      place[at(flat)] = expert * capacity + taken;
      source[at(expert * capacity + taken)] = flat / k;
    }
    copy_rows(x.view(), expanded.view(), source);
    write<int64_t>(places.view(), place);
    if (before.present()) write<int64_t>(before.view(), tokens);
    if (totals == 1) std::partial_sum(tokens.begin(), tokens.end(), tokens.begin());
    if (counts.present()) write<int64_t>(counts.view(), tokens);
  }
};

}  // namespace

// clang-format off
ACLNN(aclnnMoeInitRouting, const aclTensor* x, const aclTensor* rowIdx, const aclTensor* expertIdx, int64_t activeNum, const aclTensor* expandedXOut, const aclTensor* expandedRowIdxOut, const aclTensor* expandedExpertIdxOut) {
  const Routing r = routing_of(op, x, expertIdx, expandedXOut, expandedRowIdxOut);
  const Tensor rows = op.in("rowIdx", rowIdx, {ACL_INT32});
  const Tensor sorted = op.out("expandedExpertIdxOut", expandedExpertIdxOut, {ACL_INT32});
  op.expect_shape(rows, r.experts.dims());
  op.expect_shape(sorted, r.places.dims());
  op.require(activeNum >= 0, "argument activeNum: got {}, expected 0 or more", activeNum);
  const int64_t active = std::min(activeNum, r.count) * r.k;
  op.expect_shape(r.expanded, {active, r.x.size(1)});
  op.compute([=] {
    const std::vector<int64_t> keys = read<int64_t>(r.experts.view()), from = read<int64_t>(rows.view());
    expect_within(rows, from, 0, r.count * r.k - 1);
    const std::vector<int64_t> order = sorted_by(keys);
    std::vector<int64_t> places(keys.size()), experts, source;
    for (int64_t i = 0; i < std::ssize(order); ++i) {
      const int64_t row = from[at(order[at(i)])];
      experts.push_back(keys[at(order[at(i)])]);
      places[at(row)] = i;
      if (i < active) source.push_back(row % r.count);
    }
    copy_rows(r.x.view(), r.expanded.view(), source);
    write<int64_t>(r.places.view(), places);
    write<int64_t>(sorted.view(), experts);
  });
} ACLNN_END
ACLNN(aclnnMoeInitRoutingV2, const aclTensor* x, const aclTensor* expertIdx, int64_t activeNum, int64_t expertCapacity, int64_t expertNum, int64_t dropPadMode, int64_t expertTokensCountOrCumsumFlag, bool expertTokensBeforeCapacityFlag, const aclTensor* expandedXOut, const aclTensor* expandedRowIdxOut, const aclTensor* expertTokensCountOrCumsumOutOptional, const aclTensor* expertTokensBeforeCapacityOutOptional) {
  RoutingV2 r;
  static_cast<Routing&>(r) = routing_of(op, x, expertIdx, expandedXOut, expandedRowIdxOut);
  r.capacity = expertCapacity;
  r.expert_count = expertNum;
  r.totals = expertTokensCountOrCumsumFlag;
  r.drops = dropPadMode == 1;
  op.require(dropPadMode == 0 || dropPadMode == 1, "argument dropPadMode: got {}, expected 0 or 1", dropPadMode);
  op.require(r.totals >= 0 && r.totals <= 2, "argument expertTokensCountOrCumsumFlag: got {}, expected 0, 1 (sums) or 2 (counts)", r.totals);
  op.require(activeNum >= 0, "argument activeNum: got {}, expected 0 or more", activeNum);
  const bool counted = r.drops || r.totals > 0 || expertTokensBeforeCapacityFlag;
  op.require(expertNum >= (counted ? 1 : 0) && expertNum <= 1 << 20, "argument expertNum: got {}, expected a count of experts", expertNum);
  op.require(!r.drops || (expertCapacity >= 1 && expertCapacity <= std::max<int64_t>(r.count, 1)), "argument expertCapacity: got {}, expected 1 to the {} rows of x", expertCapacity, r.count);
  const int64_t all = r.count * r.k, width = r.x.size(1);
  op.expect_shape(r.expanded, r.drops ? Dims{expertNum, expertCapacity, width} : Dims{activeNum == 0 ? all : std::min(activeNum, all), width});
  if (r.totals > 0 && !r.drops) {
    r.counts = op.out("expertTokensCountOrCumsumOutOptional", expertTokensCountOrCumsumOutOptional, {ACL_INT32});
    op.expect_shape(r.counts, {expertNum});
  }
  if (expertTokensBeforeCapacityFlag && r.drops) {
    r.before = op.out("expertTokensBeforeCapacityOutOptional", expertTokensBeforeCapacityOutOptional, {ACL_INT32});
    op.expect_shape(r.before, {expertNum});
  }
  op.compute([r] { r.run(); });
} ACLNN_END
ACLNN(aclnnMoeFinalizeRoutingV2, const aclTensor* expandedX, const aclTensor* expandedRowIdx, const aclTensor* x1Optional, const aclTensor* x2Optional, const aclTensor* biasOptional, const aclTensor* scalesOptional, const aclTensor* expertIdxOptional, int64_t dropPadMode, const aclTensor* out) {
  Combination c;
  op.require(dropPadMode >= 0 && dropPadMode <= 3, "argument dropPadMode: got {}, expected 0 to 3", dropPadMode);
  c.by_columns = dropPadMode < 2;
  const int64_t rank = dropPadMode % 2 == 1 ? 3 : 2;
  c.from = op.in("expandedX", expandedX, kRoutedDtypes);
  c.index = op.in("expandedRowIdx", expandedRowIdx, {ACL_INT32});
  c.first = op.optional_in("x1Optional", x1Optional, kRoutedDtypes);
  c.second = op.optional_in("x2Optional", x2Optional, kRoutedDtypes);
  c.bias = op.optional_in("biasOptional", biasOptional, kRoutedDtypes);
  c.factors = op.optional_in("scalesOptional", scalesOptional, kRoutedDtypes);
  c.experts = op.optional_in("expertIdxOptional", expertIdxOptional, {ACL_INT32});
  c.out = op.out("out", out, kRoutedDtypes);
  op.expect_rank(c.from, rank, rank);
  op.expect_rank(c.index, 1, 1);
  op.expect_rank(c.out, 2, 2);
  op.expect_dtype(c.out, c.from.dtype());
  c.count = c.out.size(0);
  op.require(c.count > 0 && c.index.size(0) % c.count == 0, "{}, expected a multiple of the {} rows of out", c.index.text(), c.count);
  c.k = c.index.size(0) / c.count;
  const int64_t width = c.from.dims().back();
  op.expect_shape(c.out, {c.count, width});
  op.require(!c.second.present() || c.first.present(), "argument x2Optional: it needs x1Optional");
  op.require(!c.bias.present() || c.experts.present(), "argument biasOptional: it needs expertIdxOptional");
  op.require(c.factors.present() || c.k == 1, "argument scalesOptional is null, but every row has {} experts", c.k);
  for (const Tensor& tensor : {c.first, c.second}) {
    if (tensor.present()) op.expect_shape(tensor, c.out.dims());
  }
  if (c.factors.present()) op.expect_shape(c.factors, {c.count, c.k});
  if (c.experts.present()) op.expect_shape(c.experts, {c.count, c.k});
  if (c.bias.present()) op.expect_shape(c.bias, {c.bias.size(0), width});
  op.compute([c] { c.run(); });
} ACLNN_END
ACLNN(aclnnMoeTokenUnpermute, const aclTensor* permuteTokens, const aclTensor* sortedIndices, const aclTensor* probsOptional, bool paddedMode, const aclIntArray*, const aclTensor* out) {
  Combination c;
  op.require(!paddedMode, "argument paddedMode: got true, expected false");
  c.from = op.in("permuteTokens", permuteTokens, kRoutedDtypes);
  c.index = op.in("sortedIndices", sortedIndices, {ACL_INT32});
  c.factors = op.optional_in("probsOptional", probsOptional, kRoutedDtypes);
  c.out = op.out("out", out, kRoutedDtypes);
  op.expect_rank(c.from, 2, 2);
  op.expect_rank(c.index, 1, 1);
  op.expect_dtype(c.out, c.from.dtype());
  if (c.factors.present()) op.expect_rank(c.factors, 2, 2);
  c.k = c.factors.present() ? c.factors.size(1) : 1;
  op.require(c.k > 0 && c.index.size(0) % c.k == 0, "{}, expected a multiple of the {} experts of a row", c.index.text(), c.k);
  c.count = c.index.size(0) / c.k;
  if (c.factors.present()) op.expect_shape(c.factors, {c.count, c.k});
  op.expect_shape(c.out, {c.count, c.from.size(1)});
  op.compute([c] { c.run(); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
