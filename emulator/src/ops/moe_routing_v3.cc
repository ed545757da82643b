// aclnnMoeInitRoutingV3: tokens in the order of a range of experts, quantised where asked for.
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "aclnnop/moe.h"
#include "ops/moe_rows.h"
#include "ops/quant.h"

namespace lotse::emulator {
namespace {

enum CountType : int64_t { kSums = 0, kCounts = 1, kPairs = 2 };
enum QuantMode : int64_t { kPlain = -1, kDynamic = 1 };

struct RoutingV3 {
  Tensor x, experts, scale, expanded, places, counts, scales;
  int64_t first = 0, last = 0;  // the active experts
  int64_t count_type = kCounts;
  bool quantises = false, scatters = false;

  bool is_active(int64_t expert) const { return expert >= first && expert < last; }

  // Flat positions (row · k + j) of active experts in the order of their experts.
  std::vector<int64_t> order(const std::vector<int64_t>& keys) const {
    std::vector<int64_t> sorted = sorted_by(keys);
    std::erase_if(sorted, [&](int64_t flat) { return !is_active(keys[at(flat)]); });
    return sorted;
  }

  void write_places(const std::vector<int64_t>& order, size_t pairs) const {
    std::vector<int64_t> place(pairs, -1);
    for (size_t i = 0; i < order.size(); ++i) {
      place[scatters ? i : at(order[i])] = scatters ? order[i] : static_cast<int64_t>(i);
    }
    write<int64_t>(places.view(), place);
  }

  void write_counts(const std::vector<int64_t>& keys) const {
    std::vector<int64_t> tokens(at(last - first), 0);
    for (const int64_t key : keys) {
      if (is_active(key)) ++tokens[at(key - first)];
    }
    if (count_type == kSums) std::partial_sum(tokens.begin(), tokens.end(), tokens.begin());
    if (count_type != kPairs) return write<int64_t>(counts.view(), tokens);
    std::vector<int64_t> pairs;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] == 0) continue;
      pairs.push_back(first + static_cast<int64_t>(i));
      pairs.push_back(tokens[i]);
    }
    pairs.resize(at(counts.count()), 0);
    write<int64_t>(counts.view(), pairs);
  }

  void write_rows(const std::vector<int64_t>& order, const std::vector<int64_t>& keys) const {
    const View from = x.view(), to = expanded.view(), factors = scales.view();
    const int64_t k = experts.size(1), length = x.size(1);
    const std::vector<float> given =
        scale.present() ? read<float>(scale.view()) : std::vector<float>();
    const bool writes_scales = quantises || scale.present();
    parallel_for(std::ssize(order), row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> values(at(length));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t token = order[at(i)] / k;
        from.load_row(token, values.data());
        float factor = given.empty() || quantises ? 0 : given[at(token)];
        if (quantises) {
          const int64_t row =
              scale.present() && scale.size(0) > 1 ? keys[at(order[at(i)])] - first : 0;
          for (size_t c = 0; !given.empty() && c < values.size(); ++c) {
            values[c] *= given[at(row * length) + c];
          }
          factor = quantise_symmetric(values.data(), length, 127);
        }
        to.store_row(i, values.data());
        if (writes_scales)
          factors.store(factors.offset() + i * factors.strides()[0], 1, 1, &factor);
      }
    });
  }

  void run() const {
    const std::vector<int64_t> keys = read<int64_t>(experts.view());
    const std::vector<int64_t> sorted = order(keys);
    write_places(sorted, keys.size());
    write_counts(keys);
    write_rows(sorted, keys);
  }
};

// Data types and shapes of what is read and written.
void describe(Op& op, RoutingV3& r, int64_t expert_count) {
  op.expect_rank(r.x, 2, 2);
  op.expect_rank(r.experts, 2, 2);
  op.require(r.experts.size(0) == r.x.size(0), "{}, expected a row for each of x {}",
             r.experts.text(), r.x.desc().text());
  const int64_t pairs = r.experts.count(), width = r.x.size(1), active = r.last - r.first;
  op.expect_shape(r.expanded, {pairs, width});
  op.expect_dtype(r.expanded, r.quantises ? ACL_INT8 : r.x.dtype());
  op.require(!r.quantises || r.x.dtype() != ACL_INT8, "{}, which is quantised already", r.x.text());
  op.expect_shape(r.places, {pairs});
  op.expect_shape(r.counts, r.count_type == kPairs ? Dims{expert_count, 2} : Dims{active});
  op.expect_shape(r.scales, {pairs});
  if (!r.scale.present()) return;
  if (!r.quantises) return op.expect_shape(r.scale, {r.x.size(0)});
  op.expect_rank(r.scale, 2, 2);
  op.require(r.scale.size(1) == width && (r.scale.size(0) == 1 || r.scale.size(0) == active),
             "{}, expected [1, {}] or [{}, {}]", r.scale.text(), width, active, width);
}

}  // namespace

// clang-format off
ACLNN(aclnnMoeInitRoutingV3, const aclTensor* x, const aclTensor* expertIdx, const aclTensor* scaleOptional, const aclTensor* offsetOptional, int64_t activeNum, int64_t expertCapacity, int64_t expertNum, int64_t dropPadMode, int64_t expertTokensNumType, bool expertTokensNumFlag, int64_t quantMode, const aclIntArray* activeExpertRangeOptional, int64_t rowIdxType, const aclTensor* expandedXOut, const aclTensor* expandedRowIdxOut, const aclTensor* expertTokensCountOrCumsumOut, const aclTensor* expandedScaleOut) {
  // clang-format on
  static_cast<void>(expertCapacity);  // matters to dropPadMode 1 only
  RoutingV3 r;
  op.require(!soc().is_310p() || quantMode == kPlain,
             "argument quantMode: got {}, but {} supports -1 (none)", quantMode, soc().name);
  op.require(quantMode == kPlain || quantMode == kDynamic,
             "argument quantMode: got {}; -1 (none) and 1 (INT8 by row) are emulated", quantMode);
  r.quantises = quantMode == kDynamic;
  r.count_type = expertTokensNumType;
  r.scatters = rowIdxType == 1;
  r.x = op.in("x", x, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8});
  r.experts = op.in("expertIdx", expertIdx, {ACL_INT32});
  r.scale = op.optional_in("scaleOptional", scaleOptional, {ACL_FLOAT});
  op.require(offsetOptional == nullptr,
             "argument offsetOptional: it goes with quantMode 0, which is not emulated");
  op.require(dropPadMode == 0, "argument dropPadMode: got {}; 0 (no dropping) is emulated",
             dropPadMode);
  op.require(expertNum >= 1 && expertNum <= 10240,
             "argument expertNum: got {}, expected 1 to 10240", expertNum);
  op.require(r.count_type >= kSums && r.count_type <= kPairs,
             "argument expertTokensNumType: got {}, expected 0 (sums), 1 (counts) or 2 (pairs)",
             expertTokensNumType);
  op.require(expertTokensNumFlag, "argument expertTokensNumFlag: got false; true is emulated");
  op.require(rowIdxType == 0 || rowIdxType == 1,
             "argument rowIdxType: got {}, expected 0 (gather) or 1 (scatter)", rowIdxType);
  std::vector<int64_t> range = {0, expertNum};
  if (activeExpertRangeOptional != nullptr) {
    range = op.ints("activeExpertRangeOptional", activeExpertRangeOptional);
  }
  op.require(range.size() == 2 && range[0] >= 0 && range[0] < range[1] && range[1] <= expertNum,
             "argument activeExpertRangeOptional: got {}, expected a range of the {} experts",
             fmt::join(range, " to "), expertNum);
  r.first = range[0];
  r.last = range[1];
  op.require(activeNum == -1 || activeNum == 0 || activeNum == r.experts.count(),
             "argument activeNum: got {}; all {} rows are emulated", activeNum, r.experts.count());
  r.expanded = op.out("expandedXOut", expandedXOut, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8});
  r.places = op.out("expandedRowIdxOut", expandedRowIdxOut, {ACL_INT32});
  r.counts = op.out("expertTokensCountOrCumsumOut", expertTokensCountOrCumsumOut, {ACL_INT64});
  r.scales = op.out("expandedScaleOut", expandedScaleOut, {ACL_FLOAT});
  describe(op, r, expertNum);
  op.compute([r] { r.run(); });
}
ACLNN_END

}  // namespace lotse::emulator
