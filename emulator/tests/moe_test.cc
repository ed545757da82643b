// Gating and routing of mixtures of experts, and drawing by probability.
#include "aclnnop/moe.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support.h"

namespace emulator_test {
namespace {

class Moe : public DeviceTest {};

using Row = std::vector<double>;

Row row_of(const Tensor& x, int64_t row) {
  const int64_t length = x.dims().back();
  const auto first = x.values().begin() + row * length;
  return {first, first + length};
}

Row softmax(Row row) {
  const double most = *std::ranges::max_element(row);
  double sum = 0;
  for (double& value : row) sum += value = std::exp(value - most);
  for (double& value : row) value /= sum;
  return row;
}

// The k best, of equals the lower first.
std::vector<size_t> best(const Row& scores, size_t k) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return scores[a] == scores[b] ? a < b : scores[a] > scores[b];
  });
  order.resize(k);
  return order;
}

size_t at(int64_t index) { return static_cast<size_t>(index); }

TEST_F(Moe, GatingBySoftmax) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const bool scattered : {false, true}) {
      SCOPED_TRACE(testing::Message() << dtype << scattered);
      const Tensor x = Tensor::random(dtype, {7, 33}, 1, scattered, -4, 4);
      const Tensor y = Tensor::output(dtype, {7, 5}, scattered);
      const Tensor experts = Tensor::output(ACL_INT32, {7, 5});
      const Tensor finished(ACL_BOOL, {7}, {0, 0, 1, 0, 0, 0, 0});
      RUN(aclnnMoeGatingTopKSoftmaxV2, x, finished, 5, 0, false, y, experts, nullptr);
      const auto chosen = [&](const Shape& p) { return best(row_of(x, p[0]), 5)[at(p[1])]; };
      expect_values(
          experts, [&](const Shape& p) { return p[0] == 2 ? 33 : static_cast<double>(chosen(p)); },
          0);
      expect_values(
          y, [&](const Shape& p) { return softmax(row_of(x, p[0]))[chosen(p)]; },
          dtype == ACL_FLOAT ? 30 : 1.05);
    }
  }
}

TEST_F(Moe, GatingV2NormalisesBeforeOrAfter) {
  const Tensor x = Tensor::random(ACL_FLOAT, {5, 16}, 1, false, -4, 4);
  const Tensor y = Tensor::output(ACL_FLOAT, {5, 3}), experts = Tensor::output(ACL_INT32, {5, 3});
  const Tensor all = Tensor::output(ACL_FLOAT, {5, 16});
  const auto chosen = [&](const Shape& p) { return best(row_of(x, p[0]), 3)[at(p[1])]; };
  RUN(aclnnMoeGatingTopKSoftmaxV2, x, nullptr, 3, 0, true, y, experts, all);
  expect_values(all, [&](const Shape& p) { return softmax(row_of(x, p[0]))[at(p[1])]; }, 30);
  expect_values(y, [&](const Shape& p) { return softmax(row_of(x, p[0]))[chosen(p)]; }, 30);
  expect_values(experts, [&](const Shape& p) { return static_cast<double>(chosen(p)); }, 0);
  RUN(aclnnMoeGatingTopKSoftmaxV2, x, nullptr, 3, 1, false, y, experts, nullptr);
  expect_values(
      y,
      [&](const Shape& p) {
        const Row row = row_of(x, p[0]);
        Row kept;
        for (const size_t i : best(row, 3)) kept.push_back(row[i]);
        return softmax(kept)[at(p[1])];
      },
      30);
}

TEST_F(Moe, TiesGoToTheLowerExpert) {
  const Tensor x(ACL_FLOAT, {1, 6}, {1, 2, 2, 0, 2, 1});
  const Tensor y = Tensor::output(ACL_FLOAT, {1, 4}), experts = Tensor::output(ACL_INT32, {1, 4});
  RUN(aclnnMoeGatingTopKSoftmaxV2, x, nullptr, 4, 0, false, y, experts, nullptr);
  EXPECT_THAT(experts.fetch(), testing::ElementsAre(1, 2, 4, 0));
}

TEST_F(Moe, GatingByGroupsWithABias) {
  const int64_t count = 32, groups = 8, kept = 3, k = 6;
  const Tensor x = Tensor::random(ACL_FLOAT, {9, count}, 1, false, -3, 3);
  const Tensor bias = Tensor::random(ACL_FLOAT, {count}, 2, false, -0.3, 0.3);
  const Tensor y = Tensor::output(ACL_FLOAT, {9, k}), experts = Tensor::output(ACL_INT32, {9, k});
  const Tensor all = Tensor::output(ACL_FLOAT, {9, count});
  for (const int64_t norm : {0, 1}) {
    for (const int64_t mode : {0, 1}) {
      SCOPED_TRACE(testing::Message() << "norm " << norm << " mode " << mode);
      RUN(aclnnMoeGatingTopK, x, bias, k, kept, groups, mode, 0, norm, true, 2.5, 1e-20, y, experts,
          all);
      const auto activated = [&](int64_t row) {
        Row scores = row_of(x, row);
        if (norm == 0) return softmax(scores);
        for (double& score : scores) score = 1 / (1 + std::exp(-score));
        return scores;
      };
      const auto chosen = [&](int64_t row) {
        Row ranked = activated(row), totals;
        for (size_t i = 0; i < ranked.size(); ++i) ranked[i] += bias.values()[i];
        for (size_t g = 0; g < 8; ++g) {
          Row group(ranked.begin() + static_cast<int64_t>(g) * 4,
                    ranked.begin() + static_cast<int64_t>(g) * 4 + 4);
          std::ranges::sort(group, std::greater<>());
          totals.push_back(mode == 1 ? group[0] + group[1] : group[0]);
        }
        const auto best_groups = best(totals, 3);
        for (size_t i = 0; i < ranked.size(); ++i) {
          if (std::ranges::find(best_groups, i / 4) == best_groups.end()) ranked[i] = -INFINITY;
        }
        return best(ranked, 6);
      };
      expect_values(all, [&](const Shape& p) { return activated(p[0])[at(p[1])]; }, 30);
      expect_values(
          experts, [&](const Shape& p) { return static_cast<double>(chosen(p[0])[at(p[1])]); }, 0);
      expect_values(
          y,
          [&](const Shape& p) {
            const Row scores = activated(p[0]);
            double sum = 0;
            for (const size_t i : chosen(p[0])) sum += scores[i];
            return scores[chosen(p[0])[at(p[1])]] * 2.5 / (norm == 1 ? sum : 1);
          },
          30);
    }
  }
}

// Which flat position (row · k + j) stands at each place when sorted by expert.
std::vector<size_t> order_of(const Tensor& experts) {
  std::vector<size_t> order(experts.values().size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](size_t a, size_t b) {
    const double x = experts.values()[a], y = experts.values()[b];
    return x == y ? a < b : x < y;
  });
  return order;
}

TEST_F(Moe, RoutingToExpertsAndBack) {
  const int64_t n = 6, k = 3, width = 20;
  const Tensor x = Tensor::random(ACL_FLOAT16, {n, width}, 1, true);
  const Tensor experts = Tensor::random(ACL_INT32, {n, k}, 2, false, 0, 4);
  std::vector<double> indices;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) indices.push_back(static_cast<double>(j * n + i));
  }
  const Tensor rows(ACL_INT32, {n, k}, indices);
  const Tensor expanded = Tensor::output(ACL_FLOAT16, {n * k, width}, true);
  const Tensor places = Tensor::output(ACL_INT32, {n * k});
  const Tensor sorted = Tensor::output(ACL_INT32, {n * k});
  RUN(aclnnMoeInitRouting, x, rows, experts, n, expanded, places, sorted);
  const auto order = order_of(experts);
  expect_values(sorted, [&](const Shape& p) { return experts.values()[order[at(p[0])]]; }, 0);
  expect_values(
      expanded,
      [&](const Shape& p) { return x.at({static_cast<int64_t>(order[at(p[0])]) / k, p[1]}); }, 0);
  // Back: every copy found by its place, weighted.
  const Tensor scales = Tensor::random(ACL_FLOAT16, {n, k}, 3);
  const Tensor first = Tensor::random(ACL_FLOAT16, {n, width}, 4);
  const Tensor second = Tensor::random(ACL_FLOAT16, {n, width}, 5);
  const Tensor bias = Tensor::random(ACL_FLOAT16, {5, width}, 6);
  const Tensor out = Tensor::output(ACL_FLOAT16, {n, width});
  RUN(aclnnMoeFinalizeRoutingV2, expanded, places, first, second, bias, scales, experts, 0, out);
  expect_values(
      out,
      [&](const Shape& p) {
        double sum = first.at(p) + second.at(p);
        for (int64_t j = 0; j < k; ++j) {
          const auto expert = static_cast<int64_t>(experts.at({p[0], j}));
          sum += scales.at({p[0], j}) * (x.at(p) + bias.at({expert, p[1]}));
        }
        return sum;
      },
      1.02, 3e-6);
}

TEST_F(Moe, RoutingV2WithoutDropping) {
  const int64_t n = 7, k = 2, width = 5, count = 4;
  const Tensor x = Tensor::random(ACL_BF16, {n, width}, 1);
  const Tensor experts = Tensor::random(ACL_INT32, {n, k}, 2, false, 0, 3);
  const auto order = order_of(experts);
  for (const int64_t flag : {1, 2}) {
    const Tensor expanded = Tensor::output(ACL_BF16, {n * k, width});
    const Tensor places = Tensor::output(ACL_INT32, {n * k});
    const Tensor totals = Tensor::output(ACL_INT32, {count});
    RUN(aclnnMoeInitRoutingV2, x, experts, 0, 0, count, 0, flag, false, expanded, places, totals,
        nullptr);
    expect_values(
        expanded,
        [&](const Shape& p) { return x.at({static_cast<int64_t>(order[at(p[0])]) / k, p[1]}); }, 0);
    const auto where = places.fetch();
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(where[order[i]], static_cast<double>(i));
    }
    expect_values(
        totals,
        [&](const Shape& p) {
          return static_cast<double>(std::ranges::count_if(experts.values(), [&](double e) {
            return flag == 1 ? e <= static_cast<double>(p[0]) : e == static_cast<double>(p[0]);
          }));
        },
        0);
    // The inverse, with probabilities.
    const Tensor probs = Tensor::random(ACL_BF16, {n, k}, 3);
    const Tensor back = Tensor::output(ACL_BF16, {n, width});
    RUN(aclnnMoeTokenUnpermute, expanded, places, probs, false, nullptr, back);
    expect_values(
        back, [&](const Shape& p) { return x.at(p) * (probs.at({p[0], 0}) + probs.at({p[0], 1})); },
        1.02, 1e-6);
  }
}

TEST_F(Moe, RoutingV2DropsBeyondTheCapacity) {
  const Tensor x = Tensor::random(ACL_FLOAT, {4, 3}, 1);
  const Tensor experts(ACL_INT32, {4, 1}, {1, 1, 0, 1});
  const Tensor expanded = Tensor::output(ACL_FLOAT, {2, 2, 3});
  const Tensor places = Tensor::output(ACL_INT32, {4}), before = Tensor::output(ACL_INT32, {2});
  RUN(aclnnMoeInitRoutingV2, x, experts, 0, 2, 2, 1, 0, true, expanded, places, nullptr, before);
  EXPECT_THAT(places.fetch(), testing::ElementsAre(2, 3, 0, -1));
  EXPECT_THAT(before.fetch(), testing::ElementsAre(1, 3));
  const int64_t source[] = {2, -1, 0, 1};
  expect_values(
      expanded,
      [&](const Shape& p) {
        const int64_t row = source[p[0] * 2 + p[1]];
        return row < 0 ? 0 : x.at({row, p[2]});
      },
      0);
  const Tensor out = Tensor::output(ACL_FLOAT, {4, 3});
  RUN(aclnnMoeFinalizeRoutingV2, expanded, places, nullptr, nullptr, nullptr, nullptr, nullptr, 3,
      out);
  expect_values(out, [&](const Shape& p) { return p[0] == 3 ? 0 : x.at(p); }, 0);
}

// What routing V3 should give for the experts in [first, last): flat positions in order.
std::vector<size_t> active_order(const Tensor& experts, double first, double last) {
  std::vector<size_t> order = order_of(experts);
  std::erase_if(order, [&](size_t flat) {
    return experts.values()[flat] < first || experts.values()[flat] >= last;
  });
  return order;
}

TEST_F(Moe, RoutingV3CountsAndPlaces) {
  const int64_t n = 7, k = 3, width = 5, count = 6;
  const Tensor x = Tensor::random(ACL_BF16, {n, width}, 1, true);
  const Tensor experts = Tensor::random(ACL_INT32, {n, k}, 2, false, 0, 5);
  const Tensor scale = Tensor::random(ACL_FLOAT, {n}, 3);
  for (const auto& [first, last] : {std::pair{0, 6}, std::pair{2, 5}}) {
    const auto order = active_order(experts, first, last);
    const auto tokens_of = [&](int64_t expert) {
      return static_cast<double>(std::ranges::count(experts.values(), static_cast<double>(expert)));
    };
    for (const int64_t type : {0, 1, 2}) {
      for (const int64_t index : {0, 1}) {
        const Tensor expanded = Tensor::output(ACL_BF16, {n * k, width});
        const Tensor places = Tensor::output(ACL_INT32, {n * k});
        const Tensor counts =
            Tensor::output(ACL_INT64, type == 2 ? Shape{count, 2} : Shape{last - first});
        const Tensor scales = Tensor::output(ACL_FLOAT, {n * k});
        RUN(aclnnMoeInitRoutingV3, x, experts, scale, nullptr, n * k, 0, count, 0, type, true, -1,
            Ints({first, last}), index, expanded, places, counts, scales);
        const auto rows = expanded.fetch(), where = places.fetch(), factors = scales.fetch();
        for (size_t i = 0; i < order.size(); ++i) {
          const auto token = static_cast<int64_t>(order[i]) / k;
          for (int64_t c = 0; c < width; ++c) {
            EXPECT_EQ(rows[i * 5 + at(c)], x.at({token, c})) << i;
          }
          const auto place = static_cast<double>(index == 0 ? i : order[i]);
          EXPECT_EQ(where[index == 0 ? order[i] : i], place);
          EXPECT_EQ(factors[i], scale.at({token}));
        }
        const auto found = counts.fetch();
        double sum = 0;
        size_t pair = 0;
        for (int64_t e = first; e < last; ++e) {
          sum += tokens_of(e);
          if (type < 2) {
            EXPECT_EQ(found[at(e - first)], type == 0 ? sum : tokens_of(e));
            continue;
          }
          if (tokens_of(e) == 0) continue;
          EXPECT_EQ(found[pair++], static_cast<double>(e));
          EXPECT_EQ(found[pair++], tokens_of(e));
        }
        if (index == 0) {
          EXPECT_EQ(std::ranges::count(where, -1.0),
                    static_cast<int64_t>(where.size() - order.size()));
        }
      }
    }
  }
}

TEST_F(Moe, RoutingV3QuantisesByRow) {
  const int64_t n = 5, k = 2, width = 32, count = 4;
  const Tensor x = Tensor::random(ACL_BF16, {n, width}, 1);
  const Tensor experts = Tensor::random(ACL_INT32, {n, k}, 2, false, 0, 3);
  const Tensor smooth = Tensor::random(ACL_FLOAT, {count, width}, 3, false, 0.5, 2);
  const auto order = order_of(experts);
  for (const bool smoothed : {false, true}) {
    const Tensor expanded = Tensor::output(ACL_INT8, {n * k, width});
    const Tensor places = Tensor::output(ACL_INT32, {n * k});
    const Tensor counts = Tensor::output(ACL_INT64, {count});
    const Tensor scales = Tensor::output(ACL_FLOAT, {n * k});
    const aclTensor* none = nullptr;
    RUN(aclnnMoeInitRoutingV3, x, experts, smoothed ? static_cast<const aclTensor*>(smooth) : none,
        nullptr, -1, 0, count, 0, 1, true, 1, nullptr, 0, expanded, places, counts, scales);
    const auto value = [&](size_t i, int64_t c) {
      const auto expert = static_cast<int64_t>(experts.values()[order[i]]);
      const double v = x.at({static_cast<int64_t>(order[i]) / k, c});
      return smoothed ? v * smooth.at({expert, c}) : v;
    };
    const auto factors = scales.fetch(), numbers = expanded.fetch();
    for (size_t i = 0; i < order.size(); ++i) {
      double most = 0;
      for (int64_t c = 0; c < width; ++c) most = std::max(most, std::abs(value(i, c)));
      EXPECT_NEAR(factors[i], most / 127, 1e-6 * most);
      for (int64_t c = 0; c < width; ++c) {
        // Half a step, and what single precision adds.
        EXPECT_NEAR(numbers[i * at(width) + at(c)] * factors[i], value(i, c), factors[i] * 0.50001);
      }
    }
  }
}

TEST_F(Moe, MultinomialDrawsByWeight) {
  const Tensor x(ACL_FLOAT, {2, 4}, {1, 0, 3, 4, 5, 0, 0, 0});
  const Tensor y = Tensor::output(ACL_INT64, {2, 8000}),
               again = Tensor::output(ACL_INT64, {2, 8000});
  RUN(aclnnMultinomial, x, 8000, true, 7, 0, y);
  RUN(aclnnMultinomial, x, 8000, true, 7, 0, again);
  const auto drawn = y.fetch();
  EXPECT_EQ(drawn, again.fetch());
  double counts[4] = {};
  for (size_t i = 0; i < 8000; ++i) ++counts[at(static_cast<int64_t>(drawn[i]))];
  EXPECT_EQ(counts[1], 0);
  for (const size_t i : {0u, 2u, 3u}) {  // within five standard deviations
    const double p = x.values()[i] / 8, expected = 8000 * p;
    EXPECT_NEAR(counts[i], expected, 5 * std::sqrt(expected * (1 - p)));
  }
  for (size_t i = 8000; i < 16000; ++i) ASSERT_EQ(drawn[i], 0);
}

TEST_F(Moe, MultinomialWithoutReplacementDrawsDistinct) {
  const Tensor x(ACL_FLOAT16, {5}, {1, 0, 3, 4, 8});
  int first[5] = {};
  for (int64_t seed = 0; seed < 500; ++seed) {
    const Tensor y = Tensor::output(ACL_INT64, {4});
    RUN(aclnnMultinomial, x, 4, false, seed, 0, y);
    auto drawn = y.fetch();
    ++first[at(static_cast<int64_t>(drawn[0]))];
    std::ranges::sort(drawn);
    ASSERT_THAT(drawn, testing::ElementsAre(0, 2, 3, 4));
  }
  for (const size_t i : {0u, 2u, 3u, 4u}) {
    const double p = x.values()[i] / 16;
    EXPECT_NEAR(first[i], 500 * p, 5 * std::sqrt(500 * p * (1 - p)));
  }
}

TEST_F(Moe, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {3, 8}, 1), y = Tensor::output(ACL_FLOAT, {3, 2});
  const Tensor e = Tensor::output(ACL_INT32, {3, 2});
  EXPECT_REFUSED(161002, "argument k: got 9, expected 1 to the 8 experts of x",
                 aclnnMoeGatingTopKSoftmaxV2, x, nullptr, 9, 0, false, y, e, nullptr);
  EXPECT_REFUSED(161002, "argument groupCount: got 3, expected a divisor of the 8 experts",
                 aclnnMoeGatingTopK, x, nullptr, 2, 1, 3, 0, 0, 0, false, 1.0, 0.0, y, e, nullptr);
  EXPECT_REFUSED(161002, "argument k: got 2, but 1 groups of 1 experts are kept",
                 aclnnMoeGatingTopK, x, nullptr, 2, 1, 8, 0, 0, 0, false, 1.0, 0.0, y, e, nullptr);
  EXPECT_REFUSED(161002, "argument renorm: got 1, expected 0", aclnnMoeGatingTopK, x, nullptr, 2, 1,
                 1, 0, 1, 0, false, 1.0, 0.0, y, e, nullptr);
  EXPECT_REFUSED(161002, "argument scalesOptional is null, but every row has 2 experts",
                 aclnnMoeFinalizeRoutingV2, x, Tensor::output(ACL_INT32, {6}), nullptr, nullptr,
                 nullptr, nullptr, nullptr, 0, x);
  const Tensor rows = Tensor::output(ACL_FLOAT, {6, 8}), places = Tensor::output(ACL_INT32, {6});
  const Tensor counts = Tensor::output(ACL_INT64, {4}), scales = Tensor::output(ACL_FLOAT, {6});
  EXPECT_REFUSED(161002, "argument quantMode: got 0; -1 (none) and 1 (INT8 by row) are emulated",
                 aclnnMoeInitRoutingV3, x, e, nullptr, nullptr, 6, 0, 4, 0, 1, true, 0, nullptr, 0,
                 rows, places, counts, scales);
  EXPECT_REFUSED(161002,
                 "argument activeExpertRangeOptional: got 2 to 5, expected a range of the 4",
                 aclnnMoeInitRoutingV3, x, e, nullptr, nullptr, 6, 0, 4, 0, 1, true, -1,
                 Ints({2, 5}), 0, rows, places, counts, scales);
  EXPECT_REFUSED(161002, "argument expandedXOut: got FLOAT [6, 8], expected INT8",
                 aclnnMoeInitRoutingV3, x, e, nullptr, nullptr, 6, 0, 4, 0, 1, true, 1, nullptr, 0,
                 rows, places, counts, scales);
  EXPECT_REFUSED(161002, "at most 8 without replacement", aclnnMultinomial, x, 9, false, 0, 0,
                 Tensor::output(ACL_INT64, {3, 9}));
}

}  // namespace
}  // namespace emulator_test
