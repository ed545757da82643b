#include "moe_distribute_cases.h"

#include <cmath>
#include <string>

#include "aclnnop/moe_distribute.h"
#include "support.h"

namespace emulator_test {
namespace {

constexpr int64_t kTokens = 5, kChosen = 3, kExperts = 12;

size_t at(int64_t index) { return static_cast<size_t>(index); }

std::string name_of(const Rank& self) {
  char name[128] = {};
  EXPECT_EQ(HcclGetCommName(self.comm, name), 0) << recent_error();
  return name;
}

// What each rank brings; every rank can make them all.
struct Input {
  explicit Input(uint32_t rank, int64_t columns, int64_t experts = kExperts)
      : x(Tensor::random(ACL_BF16, {kTokens, columns}, 100 + rank)),
        ids(ACL_INT32, {kTokens, kChosen}, chosen(rank, experts)),
        shares(Tensor::random(ACL_FLOAT, {kTokens, kChosen}, 200 + rank, false, 0.1, 1)) {}

  // Different experts for a token, spread unevenly.
  static std::vector<double> chosen(uint32_t rank, int64_t experts) {
    std::vector<double> ids;
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t j = 0; j < kChosen; ++j) {
        ids.push_back(static_cast<double>((t * t + j * 5 + rank) % experts));
      }
    }
    return ids;
  }

  Tensor x, ids, shares;
};

// A row that a rank should receive.
struct Expected {
  uint32_t from;
  int64_t token, expert;  // kExperts and on: shared ones
};

std::vector<Expected> expected_rows(const Rank& self, const ExpertCase& c, int64_t active) {
  const int64_t rank = self.rank, ranks = self.ranks;
  std::vector<Expected> rows;
  if (rank < c.shared_ranks) {
    const int64_t copies = c.shared_ranks / c.shared;
    for (uint32_t from = 0; from < self.ranks; ++from) {
      for (int64_t t = 0; t < active && from % copies == rank % copies; ++t) {
        rows.push_back({from, t, kExperts + rank / copies});
      }
    }
    return rows;
  }
  const int64_t each = kExperts / (ranks - c.shared_ranks);
  const int64_t first = (rank - c.shared_ranks) * each;
  for (int64_t expert = first; expert < first + each; ++expert) {
    for (uint32_t from = 0; from < self.ranks; ++from) {
      const auto ids = Input::chosen(from, kExperts);
      for (int64_t i = 0; i < active * kChosen; ++i) {
        if (ids[at(i)] == static_cast<double>(expert)) rows.push_back({from, i / kChosen, expert});
      }
    }
  }
  return rows;
}

// What a rank's expert makes of a row.
double factor_of(int64_t expert) { return 0.25 * static_cast<double>(expert % 4 + 1); }

struct Buffers {
  Buffers(int64_t room, int64_t columns, int64_t local, int64_t ranks, bool quantised)
      : rows(Tensor::output(quantised ? ACL_INT8 : ACL_BF16, {room, columns})),
        scales(Tensor::output(ACL_FLOAT, {room})),
        assist(Tensor::output(ACL_INT32, {room * 128})),
        index(Tensor::output(ACL_INT32, {kTokens * kChosen})),
        tokens(Tensor::output(ACL_INT64, {local})),
        counts(Tensor::output(ACL_INT32, {local * ranks})),
        shares(Tensor::output(ACL_FLOAT, {room})) {}
  Tensor rows, scales, assist, index, tokens, counts, shares;
};

// As run(), on the rank's stream.
template <class Prepare, class... Args>
int run_on(aclrtStream stream, Prepare prepare,
           aclnnStatus (*execute)(void*, uint64_t, aclOpExecutor*, aclrtStream), Args&&... args) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (const int code = prepare(std::forward<Args>(args)..., &size, &executor)) return code;
  if (const int code = execute(nullptr, 0, executor, stream)) return code;
  return aclrtSynchronizeStream(stream);
}

int64_t columns_here() { return has_shared_ranks() ? 1024 : 64; }

int dispatch(const Rank& self, const ExpertCase& c, const Input& in, const Buffers& out,
             const aclTensor* factors, const aclTensor* mask, int64_t experts) {
  const std::string group = name_of(self);
  const aclTensor* const none = nullptr;
  const int64_t ranks = self.ranks, rank = self.rank;
  const int64_t quant = c.quantised ? 2 : 0;
  if (c.version == 1) {
    return run_on(self.stream, aclnnMoeDistributeDispatchGetWorkspaceSize,
                  aclnnMoeDistributeDispatch, in.x, in.ids, factors, mask, in.shares, group.c_str(),
                  ranks, rank, experts, "", 0, 0, 0, c.shared, c.shared_ranks, quant, 0, 1,
                  out.rows, out.scales, out.index, out.tokens, out.counts, none, out.shares);
  }
  return run_on(self.stream, aclnnMoeDistributeDispatchV2GetWorkspaceSize,
                aclnnMoeDistributeDispatchV2, in.x, in.ids, factors, mask, in.shares, group.c_str(),
                ranks, rank, experts, "", 0, 0, 0, c.shared, c.shared_ranks, quant, kTokens * ranks,
                0, "", out.rows, out.scales, out.assist, out.tokens, out.counts, none, out.shares);
}

void check_counts(const Rank& self, const ExpertCase& c, const Buffers& out,
                  const std::vector<Expected>& rows) {
  const auto tokens = out.tokens.fetch(), counts = out.counts.fetch();
  std::vector<double> by_expert(tokens.size(), 0), by_sender(counts.size(), 0);
  const int64_t first = rows.empty() ? 0
                        : self.rank < c.shared_ranks
                            ? rows[0].expert
                            : (self.rank - c.shared_ranks) * std::ssize(tokens);
  for (const Expected& row : rows) {
    for (int64_t e = row.expert - first; e < std::ssize(tokens); ++e) {
      if (c.version == 2 || e == row.expert - first) ++by_expert[at(e)];
    }
    for (int64_t i = (row.expert - first) * self.ranks + row.from; i < std::ssize(counts); ++i) {
      ++by_sender[at(i)];
    }
  }
  EXPECT_EQ(tokens, by_expert);
  EXPECT_EQ(counts, by_sender);
}

}  // namespace

bool has_shared_ranks() { return !std::string(aclrtGetSocName()).starts_with("Ascend910B"); }

int dispatch_once(const Rank& self, int64_t experts) {
  const Input in(self.rank, columns_here(), experts);
  const Buffers out(kTokens * self.ranks * kChosen, columns_here(), experts / self.ranks,
                    self.ranks, false);
  return dispatch(self, {}, in, out, nullptr, nullptr, experts);
}

void check_experts(const Rank& self, const ExpertCase& c) {
  SCOPED_TRACE(testing::Message() << "rank " << self.rank << " of " << self.ranks << " V"
                                  << c.version << " quantised " << c.quantised << " masked "
                                  << c.masked << " shared " << c.shared_ranks);
  const int64_t columns = columns_here(), active = c.masked ? kTokens - 2 : kTokens;
  const bool holds_shared = self.rank < c.shared_ranks;
  const int64_t local = holds_shared ? 1 : kExperts / (self.ranks - c.shared_ranks);
  const Input in(self.rank, columns);
  const Buffers out(kTokens * self.ranks * kChosen, columns, local, self.ranks, c.quantised);
  const int64_t factor_rows = kExperts + (c.shared_ranks > 0 ? c.shared : 0);
  const Tensor factors = Tensor::random(ACL_FLOAT, {factor_rows, columns}, 7, false, 0.5, 2);
  const Tensor mask(ACL_BOOL, {kTokens}, {1, 1, 1, 0, 0});
  const aclTensor* const none = nullptr;
  ASSERT_EQ(
      dispatch(self, c, in, out, c.quantised ? factors : none, c.masked ? mask : none, kExperts), 0)
      << recent_error();
  const auto expected = expected_rows(self, c, active);
  check_counts(self, c, out, expected);
  const auto rows = out.rows.fetch(), scales = out.scales.fetch(), shares = out.shares.fetch();
  std::vector<double> results(rows.size(), 0);
  for (size_t i = 0; i < expected.size(); ++i) {
    const Expected& row = expected[i];
    const Input sender(row.from, columns);
    const int64_t factor_row =
        row.expert >= kExperts ? row.expert - kExperts : row.expert + factor_rows - kExperts;
    for (int64_t k = 0; k < columns; ++k) {
      const size_t place = i * at(columns) + at(k);
      double value = sender.x.at({row.token, k});
      if (c.quantised) {
        const double smoothed = value * factors.at({factor_row, k});
        ASSERT_NEAR(rows[place] * scales[i], smoothed, scales[i] * 0.50001) << i << " " << k;
      } else {
        ASSERT_EQ(rows[place], value) << i << " " << k;
      }
      results[place] = value * factor_of(row.expert);
    }
    double share = 1;
    for (int64_t j = 0; j < kChosen && row.expert < kExperts; ++j) {
      const bool same = sender.ids.at({row.token, j}) == static_cast<double>(row.expert);
      if (same) share = sender.shares.at({row.token, j});
    }
    EXPECT_EQ(shares[i], share);
  }
  const Tensor made(ACL_BF16, out.rows.dims(), results);
  const Tensor back = Tensor::output(ACL_BF16, {kTokens, columns});
  const Tensor own = Tensor::random(ACL_BF16, {kTokens, columns}, 9);
  const std::string group = name_of(self);
  const int64_t ranks = self.ranks, rank = self.rank;
  const aclTensor* active_mask = c.masked ? mask : none;
  const int code =
      c.version == 1
          ? run_on(self.stream, aclnnMoeDistributeCombineGetWorkspaceSize,
                   aclnnMoeDistributeCombine, made, in.ids, out.index, out.counts, in.shares, none,
                   active_mask, none, none, none, out.shares, group.c_str(), ranks, rank, kExperts,
                   "", 0, 0, 0, c.shared, c.shared_ranks, 0, 0, 0, 0, back)
          : run_on(self.stream, aclnnMoeDistributeCombineV2GetWorkspaceSize,
                   aclnnMoeDistributeCombineV2, made, in.ids, out.assist, out.counts, in.shares,
                   none, active_mask, none, none, none, out.shares, own, group.c_str(), ranks, rank,
                   kExperts, "", 0, 0, 0, c.shared, c.shared_ranks, kTokens * ranks, 0, 0, 0, "",
                   back);
  ASSERT_EQ(code, 0) << recent_error();
  expect_values(
      back,
      [&](const Shape& p) {
        double sum = c.version == 2 ? own.at(p) : 0;
        if (p[0] >= active) return sum;
        for (int64_t j = 0; j < kChosen; ++j) {
          const auto expert = static_cast<int64_t>(in.ids.at({p[0], j}));
          sum += in.shares.at({p[0], j}) * factor_of(expert) * in.x.at(p);
        }
        for (int64_t s = 0; s < c.shared && c.shared_ranks > 0; ++s) {
          sum += factor_of(kExperts + s) * in.x.at(p);
        }
        return sum;
      },
      2, 0.03);
}

}  // namespace emulator_test
