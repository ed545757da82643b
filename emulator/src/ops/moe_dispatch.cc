// aclnnMoeDistributeDispatch and V2.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "aclnnop/moe_distribute.h"
#include "ops/index.h"
#include "ops/moe_distribute.h"
#include "ops/quant.h"

namespace lotse::emulator {
namespace {

struct Dispatch {
  ExpertGroup g;
  Tensor x, experts, scales, mask, expert_scales;
  Tensor rows, row_scales, index, token_counts, counts, expanded_scales;
  bool quantises = false, sums = false, index_by_row = false;

  int64_t chosen() const { return experts.size(1); }

  // The row that goes to an expert, as floats, and its scale.
  float make_row(const Route& route, const View& from, const std::vector<float>& factors,
                 const std::vector<int64_t>& ids, std::vector<float>& values) const {
    from.load_row(route.token, values.data());
    if (!quantises) return 0;
    if (!factors.empty()) {
      const bool is_shared = route.choice >= chosen();
      const int64_t first = g.shared_ranks > 0 ? g.shared : 0;
      const int64_t row = is_shared ? route.choice - chosen()
                                    : first + ids[at(route.token * chosen() + route.choice)];
      for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[at(row) * values.size() + i];
    }
    return quantise_symmetric(values.data(), std::ssize(values), 127);
  }

  std::vector<Message> messages(const std::vector<Route>& routes,
                                const std::vector<int64_t>& ids) const {
    const View from = x.view();
    const std::vector<float> factors =
        scales.present() ? read<float>(scales.view()) : std::vector<float>();
    const std::vector<float> shares =
        expert_scales.present() ? read<float>(expert_scales.view()) : std::vector<float>();
    std::vector<MessageWriter> writers(at(g.ranks), MessageWriter(g, x.size(1)));
    std::vector<float> values(at(x.size(1)));
    for (const Route& route : routes) {
      const float scale = make_row(route, from, factors, ids, values);
      const bool is_shared = route.choice >= chosen();
      const float share =
          shares.empty() || is_shared ? 1 : shares[at(route.token * chosen() + route.choice)];
      MessageWriter& writer = writers[at(route.rank)];
      for (const int64_t number : {route.local, route.token, route.choice}) {
        writer.add_number(number);
      }
      writer.add(&scale, sizeof scale);
      writer.add(&share, sizeof share);
      writer.add_row(rows.dtype(), values);
    }
    std::vector<Message> result;
    for (MessageWriter& writer : writers) result.push_back(writer.take());
    return result;
  }

  // A row that arrived.
  struct Arrival {
    int64_t local, from, token, choice;
    float scale, share;
    const std::byte* values;
  };

  std::vector<Arrival> arrivals(const std::vector<Message>& messages) const {
    std::vector<Arrival> result;
    for (int64_t from = 0; from < g.ranks; ++from) {
      MessageReader reader(messages[at(from)], g, x.size(1), from);
      while (reader.left() > 0) {
        Arrival row{
            reader.take_number(), from, reader.take_number(), reader.take_number(), 0, 0, nullptr};
        std::memcpy(&row.scale, reader.take(sizeof row.scale), sizeof row.scale);
        std::memcpy(&row.share, reader.take(sizeof row.share), sizeof row.share);
        row.values = reader.take_row(rows.dtype(), x.size(1));
        result.push_back(row);
      }
    }
    std::ranges::sort(result, [](const Arrival& a, const Arrival& b) {
      return std::tie(a.local, a.from, a.token, a.choice) <
             std::tie(b.local, b.from, b.token, b.choice);
    });
    return result;
  }

  void write_rows(const std::vector<Arrival>& arrived) const {
    if (std::ssize(arrived) > rows.size(0)) {
      fail(kVectorFault, "argument expandX: {} rows arrived, but it is {}", arrived.size(),
           rows.desc().text());
    }
    const View to = rows.view();
    std::vector<float> values(at(x.size(1)));
    for (int64_t i = 0; i < std::ssize(arrived); ++i) {
      const Arrival& row = arrived[at(i)];
      load_run(rows.dtype(), row.values, 0, 1, std::ssize(values), values.data());
      to.store_row(i, values.data());
      if (row_scales.present()) row_scales.view().slice(0, i, 1).store_row(0, &row.scale);
      if (expanded_scales.present()) {
        expanded_scales.view().slice(0, i, 1).store_row(0, &row.share);
      }
      if (!index_by_row) continue;
      const int64_t origin[] = {row.from, row.token, row.choice};
      write<int64_t>(index.view().slice(0, i * 128, 3), origin);
    }
  }

  void write_counts(const std::vector<Arrival>& arrived) const {
    std::vector<int64_t> by_expert(at(g.local()), 0), by_sender(at(g.local() * g.ranks), 0);
    for (const Arrival& row : arrived) {
      ++by_expert[at(row.local)];
      ++by_sender[at(row.local * g.ranks + row.from)];
    }
    const auto add_up = [](std::vector<int64_t>& values) {
      for (size_t i = 1; i < values.size(); ++i) values[i] += values[i - 1];
    };
    add_up(by_sender);
    write<int64_t>(counts.view().slice(0, 0, std::ssize(by_sender)), by_sender);
    if (sums) add_up(by_expert);
    write<int64_t>(token_counts.view(), by_expert);
  }

  // Of each pair of token and choice, how many of this rank's went to the same expert before.
  void write_index(const std::vector<Route>& routes) const {
    std::vector<int64_t> sent(at(g.experts), 0), place(at(experts.count()), 0);
    for (const Route& route : routes) {
      if (route.choice >= chosen()) continue;
      const int64_t expert = (route.rank - g.shared_ranks) * g.local_of(route.rank) + route.local;
      place[at(route.token * chosen() + route.choice)] = sent[at(expert)]++;
    }
    write<int64_t>(index.view(), place);
  }

  void run() const {
    const std::vector<int64_t> ids = read<int64_t>(experts.view());
    const std::vector<int64_t> active =
        mask.present() ? read<int64_t>(mask.view()) : std::vector<int64_t>();
    const std::vector<Route> routes = routes_of(g, ids, x.size(0), chosen(), active);
    const std::vector<Message> received =
        exchange_messages(Gathering::dispatch, messages(routes, ids));
    const std::vector<Arrival> arrived = arrivals(received);
    write_rows(arrived);
    write_counts(arrived);
    if (!index_by_row) write_index(routes);
  }
};

struct Outputs {
  const aclTensor *rows, *row_scales, *index, *token_counts, *counts, *expanded_scales;
};

void describe(Op& op, Dispatch& d, const aclTensor* x, const aclTensor* experts,
              const aclTensor* scales, const aclTensor* mask, const aclTensor* expert_scales,
              int64_t quant_mode, int64_t counts_type, const Outputs& out) {
  op.require(quant_mode == 0 || quant_mode == 2,
             "argument quantMode: got {}, expected 0 (none) or 2 (INT8 by row)", quant_mode);
  op.require(counts_type == 0 || counts_type == 1,
             "argument expertTokenNumsType: got {}, expected 0 (sums) or 1 (counts)", counts_type);
  d.quantises = quant_mode == 2;
  d.sums = counts_type == 0;
  d.x = op.in("x", x, kHalf);
  d.experts = op.in("expertIds", experts, {ACL_INT32});
  op.expect_rank(d.x, 2, 2);
  op.expect_rank(d.experts, 2, 2);
  const int64_t tokens = d.x.size(0), columns = d.x.size(1);
  op.require(d.experts.size(0) == tokens, "{}, expected a row for each of x {}", d.experts.text(),
             d.x.desc().text());
  expect_sizes(op, d.g, d.x, d.experts);
  op.require(d.quantises || scales == nullptr, "argument scales: it goes with quantMode 2");
  d.scales = op.optional_in("scales", scales, {ACL_FLOAT});
  const int64_t shared = d.g.shared_ranks > 0 ? d.g.shared : 0;
  if (d.scales.present()) op.expect_shape(d.scales, {shared + d.g.experts, columns});
  d.mask = op.optional_in("xActiveMask", mask, kBool);
  if (d.mask.present()) {
    op.require(d.mask.dims() == Dims{tokens} || d.mask.dims() == d.experts.dims(),
               "{}, expected [{}] or {}", d.mask.text(), tokens, text_of(d.experts.dims()));
  }
  d.expert_scales = op.optional_in("expertScales", expert_scales, {ACL_FLOAT});
  if (d.expert_scales.present()) op.expect_shape(d.expert_scales, d.experts.dims());
  d.rows = op.out("expandX", out.rows, {d.quantises ? ACL_INT8 : d.x.dtype()});
  op.expect_rank(d.rows, 2, 2);
  const int64_t capacity = d.g.capacity(tokens, d.experts.size(1));
  op.require(d.rows.size(0) >= capacity && d.rows.size(1) == columns,
             "{}, expected at least [{}, {}]", d.rows.text(), capacity, columns);
  const int64_t room = d.rows.size(0);
  if (d.quantises) {
    d.row_scales = op.out("dynamicScales", out.row_scales, {ACL_FLOAT});
    op.expect_shape(d.row_scales, {room});
  }
  d.index = op.out(d.index_by_row ? "assistInfoForCombine" : "expandIdx", out.index, {ACL_INT32});
  op.expect_rank(d.index, 1, 1);
  const int64_t entries = d.index_by_row ? room * 128 : d.experts.count();
  op.require(d.index_by_row ? d.index.size(0) >= entries : d.index.size(0) == entries,
             "{}, expected {}[{}]", d.index.text(), d.index_by_row ? "at least " : "", entries);
  d.token_counts = op.out("expertTokenNums", out.token_counts, {ACL_INT64});
  op.expect_shape(d.token_counts, {d.g.local()});
  d.counts = op.out("epRecvCounts", out.counts, {ACL_INT32});
  op.expect_rank(d.counts, 1, 1);
  op.require(d.counts.size(0) >= d.g.ranks * d.g.local(), "{}, expected at least [{}]",
             d.counts.text(), d.g.ranks * d.g.local());
  if (d.expert_scales.present()) {
    d.expanded_scales = op.out("expandScales", out.expanded_scales, {ACL_FLOAT});
    op.expect_shape(d.expanded_scales, {room});
  }
}

}  // namespace

// clang-format off
ACLNN(aclnnMoeDistributeDispatch, const aclTensor* x, const aclTensor* expertIds, const aclTensor* scalesOptional, const aclTensor* xActiveMaskOptional, const aclTensor* expertScalesOptional, const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum, const char*, int64_t tpWorldSize, int64_t, int64_t expertShardType, int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t quantMode, int64_t globalBs, int64_t expertTokenNumsType, const aclTensor* expandXOut, const aclTensor* dynamicScalesOut, const aclTensor* expandIdxOut, const aclTensor* expertTokenNumsOut, const aclTensor* epRecvCountsOut, const aclTensor*, const aclTensor* expandScalesOut) {
  // clang-format on
  Dispatch d;
  d.g = expert_group(op, groupEp, epWorldSize, epRankId, moeExpertNum, tpWorldSize, expertShardType,
                     sharedExpertNum, sharedExpertRankNum, globalBs);
  describe(op, d, x, expertIds, scalesOptional, xActiveMaskOptional, expertScalesOptional,
           quantMode, expertTokenNumsType,
           {expandXOut, dynamicScalesOut, expandIdxOut, expertTokenNumsOut, epRecvCountsOut,
            expandScalesOut});
  op.compute([d] { d.run(); });
}
ACLNN_END

// clang-format off
ACLNN(aclnnMoeDistributeDispatchV2, const aclTensor* x, const aclTensor* expertIds, const aclTensor* scalesOptional, const aclTensor* xActiveMaskOptional, const aclTensor* expertScalesOptional, const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum, const char*, int64_t tpWorldSize, int64_t, int64_t expertShardType, int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t quantMode, int64_t globalBs, int64_t expertTokenNumsType, const char*, const aclTensor* expandXOut, const aclTensor* dynamicScalesOut, const aclTensor* assistInfoForCombineOut, const aclTensor* expertTokenNumsOut, const aclTensor* epRecvCountsOut, const aclTensor*, const aclTensor* expandScalesOut) {
  // clang-format on
  Dispatch d;
  d.index_by_row = true;
  d.g = expert_group(op, groupEp, epWorldSize, epRankId, moeExpertNum, tpWorldSize, expertShardType,
                     sharedExpertNum, sharedExpertRankNum, globalBs);
  describe(op, d, x, expertIds, scalesOptional, xActiveMaskOptional, expertScalesOptional,
           quantMode, expertTokenNumsType,
           {expandXOut, dynamicScalesOut, assistInfoForCombineOut, expertTokenNumsOut,
            epRecvCountsOut, expandScalesOut});
  op.compute([d] { d.run(); });
}
ACLNN_END

}  // namespace lotse::emulator
