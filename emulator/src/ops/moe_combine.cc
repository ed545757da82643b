// aclnnMoeDistributeCombine and V2.
#include <algorithm>
#include <tuple>

#include "aclnnop/moe_distribute.h"
#include "ops/index.h"
#include "ops/moe_distribute.h"

namespace lotse::emulator {
namespace {

struct Combine {
  ExpertGroup g;
  Tensor rows, experts, counts, expert_scales, mask, shared_x, out;

  int64_t chosen() const { return experts.size(1); }

  // Every rank's rows go back to it, by expert, in the order in which they came.
  std::vector<Message> messages() const {
    const View from = rows.view();
    const std::vector<int64_t> ends = read<int64_t>(counts.view().slice(0, 0, g.local() * g.ranks));
    std::vector<MessageWriter> writers(at(g.ranks), MessageWriter(g, rows.size(1)));
    std::vector<float> values(at(rows.size(1)));
    int64_t row = 0;
    for (int64_t i = 0; i < std::ssize(ends); ++i) {
      if (ends[at(i)] < row || ends[at(i)] > rows.size(0)) {
        fail(kVectorFault, "argument epSendCounts: it holds {} after {}, but expandX is {}",
             ends[at(i)], row, rows.desc().text());
      }
      for (; row < ends[at(i)]; ++row) {
        from.load_row(row, values.data());
        writers[at(i % g.ranks)].add_row(rows.dtype(), values);
      }
    }
    std::vector<Message> result;
    for (MessageWriter& writer : writers) result.push_back(writer.take());
    return result;
  }

  void run() const {
    const std::vector<int64_t> ids = read<int64_t>(experts.view());
    const std::vector<int64_t> active =
        mask.present() ? read<int64_t>(mask.view()) : std::vector<int64_t>();
    const int64_t tokens = experts.size(0), columns = rows.size(1);
    std::vector<Route> routes = routes_of(g, ids, tokens, chosen(), active);
    // The order in which each rank's rows come back; the sums keep that of the choices.
    std::vector<Route> order = routes;
    std::ranges::sort(order, [](const Route& a, const Route& b) {
      return std::tie(a.rank, a.local, a.token, a.choice) <
             std::tie(b.rank, b.local, b.token, b.choice);
    });
    const std::vector<Message> received = exchange_messages(Gathering::combine, messages());
    const int64_t places = chosen() + g.shared;
    std::vector<const std::byte*> row_of(at(tokens * places), nullptr);
    auto next = order.begin();
    for (int64_t from = 0; from < g.ranks; ++from) {
      MessageReader reader(received[at(from)], g, columns, from);
      for (; next != order.end() && next->rank == from; ++next) {
        row_of[at(next->token * places + next->choice)] = reader.take_row(rows.dtype(), columns);
      }
      if (reader.left() > 0) {
        fail(kVectorFault, "argument epSendCounts: rank {} sends more rows than it got", from);
      }
    }
    add_up(row_of, places);
  }

  void add_up(const std::vector<const std::byte*>& row_of, int64_t places) const {
    const int64_t columns = rows.size(1);
    const std::vector<float> shares = read<float>(expert_scales.view());
    const View to = out.view(), own = shared_x.present() ? shared_x.view() : View();
    std::vector<float> sum(at(columns)), row(at(columns));
    for (int64_t t = 0; t < experts.size(0); ++t) {
      std::ranges::fill(sum, 0.0f);
      for (int64_t j = 0; j < places; ++j) {
        const std::byte* values = row_of[at(t * places + j)];
        if (values == nullptr) continue;
        load_run(rows.dtype(), values, 0, 1, columns, row.data());
        const float share = j < chosen() ? shares[at(t * chosen() + j)] : 1;
        for (size_t c = 0; c < sum.size(); ++c) sum[c] += share * row[c];
      }
      if (shared_x.present()) {
        own.load_row(t, row.data());
        for (size_t c = 0; c < sum.size(); ++c) sum[c] += row[c];
      }
      to.store_row(t, sum.data());
    }
  }
};

struct Inputs {
  const aclTensor *rows, *experts, *index, *counts, *expert_scales, *mask, *activation_scale,
      *weight_scale, *group_list, *shared_x;
};

void describe(Op& op, Combine& c, const Inputs& in, int64_t out_dtype, int64_t comm_quant,
              const aclTensor* out) {
  op.require(comm_quant == 0, "argument commQuantMode: got {}; 0 (none) is emulated", comm_quant);
  op.require(out_dtype == 0, "argument outDtype: got {}, expected 0", out_dtype);
  for (const aclTensor* reserved : {in.activation_scale, in.weight_scale, in.group_list}) {
    op.require(reserved == nullptr,
               "arguments activationScale, weightScale and groupList: they are reserved, expected "
               "null");
  }
  c.rows = op.in("expandX", in.rows, kHalf);
  c.experts = op.in("expertIds", in.experts, {ACL_INT32});
  op.expect_rank(c.rows, 2, 2);
  op.expect_rank(c.experts, 2, 2);
  expect_sizes(op, c.g, c.rows, c.experts);
  op.in("expandIdx", in.index, {ACL_INT32});
  c.counts = op.in("epSendCounts", in.counts, {ACL_INT32});
  op.expect_rank(c.counts, 1, 1);
  op.require(c.counts.size(0) >= c.g.ranks * c.g.local(), "{}, expected at least [{}]",
             c.counts.text(), c.g.ranks * c.g.local());
  c.expert_scales = op.in("expertScales", in.expert_scales, {ACL_FLOAT});
  op.expect_shape(c.expert_scales, c.experts.dims());
  c.mask = op.optional_in("xActiveMask", in.mask, kBool);
  const int64_t tokens = c.experts.size(0);
  if (c.mask.present()) {
    op.require(c.mask.dims() == Dims{tokens} || c.mask.dims() == c.experts.dims(),
               "{}, expected [{}] or {}", c.mask.text(), tokens, text_of(c.experts.dims()));
  }
  c.out = op.out("x", out, {c.rows.dtype()});
  op.expect_shape(c.out, {tokens, c.rows.size(1)});
  c.shared_x = op.optional_in("sharedExpertX", in.shared_x, {c.rows.dtype()});
  if (c.shared_x.present()) op.expect_shape(c.shared_x, c.out.dims());
}

}  // namespace

// clang-format off
ACLNN(aclnnMoeDistributeCombine, const aclTensor* expandX, const aclTensor* expertIds, const aclTensor* expandIdx, const aclTensor* epSendCounts, const aclTensor* expertScales, const aclTensor*, const aclTensor* xActiveMaskOptional, const aclTensor* activationScaleOptional, const aclTensor* weightScaleOptional, const aclTensor* groupListOptional, const aclTensor*, const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum, const char*, int64_t tpWorldSize, int64_t, int64_t expertShardType, int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t globalBs, int64_t outDtype, int64_t commQuantMode, int64_t, const aclTensor* xOut) {
  // clang-format on
  Combine c;
  c.g = expert_group(op, groupEp, epWorldSize, epRankId, moeExpertNum, tpWorldSize, expertShardType,
                     sharedExpertNum, sharedExpertRankNum, globalBs);
  describe(op, c,
           {expandX, expertIds, expandIdx, epSendCounts, expertScales, xActiveMaskOptional,
            activationScaleOptional, weightScaleOptional, groupListOptional, nullptr},
           outDtype, commQuantMode, xOut);
  op.compute([c] { c.run(); });
}
ACLNN_END

// clang-format off
ACLNN(aclnnMoeDistributeCombineV2, const aclTensor* expandX, const aclTensor* expertIds, const aclTensor* assistInfoForCombine, const aclTensor* epSendCounts, const aclTensor* expertScales, const aclTensor*, const aclTensor* xActiveMaskOptional, const aclTensor* activationScaleOptional, const aclTensor* weightScaleOptional, const aclTensor* groupListOptional, const aclTensor*, const aclTensor* sharedExpertXOptional, const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum, const char*, int64_t tpWorldSize, int64_t, int64_t expertShardType, int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t globalBs, int64_t outDtype, int64_t commQuantMode, int64_t, const char*, const aclTensor* xOut) {
  // clang-format on
  Combine c;
  c.g = expert_group(op, groupEp, epWorldSize, epRankId, moeExpertNum, tpWorldSize, expertShardType,
                     sharedExpertNum, sharedExpertRankNum, globalBs);
  describe(
      op, c,
      {expandX, expertIds, assistInfoForCombine, epSendCounts, expertScales, xActiveMaskOptional,
       activationScaleOptional, weightScaleOptional, groupListOptional, sharedExpertXOptional},
      outDtype, commQuantMode, xOut);
  op.compute([c] { c.run(); });
}
ACLNN_END

}  // namespace lotse::emulator
