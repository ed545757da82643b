#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace lotse {
namespace {

std::map<int32_t, int> draw_many(const SamplingParams& params, std::span<const float> logits,
                                 int draws) {
  Sampler sampler(params);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

TEST(Sampler, GreedyTakesTheLowestOfEqualTokens) {
  const std::vector<float> logits = {1, 5, 5, 2};
  EXPECT_EQ(Sampler({}).sample(logits), 1);
}

// The draws of temperature 1 follow softmax(logits): a chi-squared test with 4 degrees of freedom.
TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.1f), std::log(0.05f)};
  constexpr int kDraws = 100'000;
  const auto counts = draw_many({.temperature = 1, .seed = 42}, logits, kDraws);
  double chi_squared = 0;
  for (int32_t i = 0; i < 5; ++i) {
    const double expected = std::exp(static_cast<double>(logits[static_cast<size_t>(i)])) * kDraws;
    const double seen = counts.contains(i) ? counts.at(i) : 0;
    chi_squared += (seen - expected) * (seen - expected) / expected;
  }
  EXPECT_LT(chi_squared, 18.5);  // p = 0.001
}

TEST(Sampler, TruncationsKeepWhatTheyPromise) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.05f)};
  EXPECT_EQ(draw_many({.temperature = 1, .top_k = 2}, logits, 2000).size(), 2u);
  EXPECT_EQ(draw_many({.temperature = 1, .top_p = 0.6f}, logits, 2000).size(), 2u);
  EXPECT_EQ(draw_many({.temperature = 1, .top_p = 0.01f}, logits, 2000).size(), 1u);
  EXPECT_EQ(draw_many({.temperature = 1, .min_p = 0.25f}, logits, 2000).size(), 3u);
  EXPECT_EQ(draw_many({.temperature = 1}, logits, 2000).size(), 4u);
}

// Whatever the draft is and whatever the options, tokens come as often as without it, and as many
// drafted ones as can: Σ min(p, q) of them (Leviathan et al. 2023, theorem 3.5).
TEST(Sampler, DraftsKeepTheDistribution) {
  constexpr int kDraws = 20'000;
  constexpr size_t kTokens = 12;
  const SamplingParams options[] = {{.temperature = 1},
                                    {.temperature = 0.5F, .top_k = 4},
                                    {.temperature = 1.5F, .top_p = 0.7F},
                                    {.temperature = 1, .min_p = 0.2F},
                                    {.temperature = 1, .typical_p = 0.5F},
                                    {.temperature = 2, .top_k = 9, .top_p = 0.8F, .min_p = 0.1F}};
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1.5F);
  for (SamplingParams params : options) {
    std::vector<float> p_logits(kTokens);
    std::vector<float> q_logits(kTokens);
    for (float& x : p_logits) x = normal(random);
    for (size_t i = 0; i < kTokens; ++i) q_logits[i] = p_logits[i] + normal(random);
    std::vector<double> expected(kTokens);
    std::vector<double> drafted_share(kTokens);
    Distribution from;
    Sampler(params).sample(p_logits, from);
    for (const Candidate& c : from.candidates) {
      expected[static_cast<size_t>(c.token)] = static_cast<double>(c.logit) / from.total;
    }
    std::vector<int> seen(kTokens);
    int accepted = 0;
    params.seed = 11;
    Sampler target(params);
    for (int i = 0; i < kDraws; ++i) {
      const int32_t drafted = target.fork(RandomStream::draft).sample(q_logits, from);
      const int32_t token = target.sample_drafted(p_logits, drafted, from);
      ++seen[static_cast<size_t>(token)];
      accepted += token == drafted ? 1 : 0;
    }
    for (const Candidate& c : from.candidates) {
      drafted_share[static_cast<size_t>(c.token)] = static_cast<double>(c.logit) / from.total;
    }
    double chi_squared = 0;
    double overlap = 0;
    for (size_t i = 0; i < kTokens; ++i) {
      overlap += std::min(expected[i], drafted_share[i]);
      const double count = expected[i] * kDraws;
      if (count == 0) EXPECT_EQ(seen[i], 0);
      if (count > 0) chi_squared += (seen[i] - count) * (seen[i] - count) / count;
    }
    EXPECT_LT(chi_squared, 31.3);  // p = 0.001 at 11 degrees of freedom
    EXPECT_NEAR(static_cast<double>(accepted) / kDraws, overlap, 0.015);
  }
}

TEST(Sampler, AForkDrawsTheSame) {
  const std::vector<float> logits(50, 0.0F);
  Sampler sampler({.temperature = 1, .repetition_penalty = 1.5F, .seed = 7});
  sampler.see_prompt(std::vector<int32_t>{4, 5});
  for (int i = 0; i < 20; ++i) {
    Sampler fork = sampler.fork(RandomStream::choice);
    Sampler other = sampler.fork(RandomStream::draft);
    int same = 0;
    for (int k = 0; k < 8; ++k) {
      const int32_t token = sampler.sample(logits);
      EXPECT_EQ(fork.sample(logits), token);
      same += other.sample(logits) == token ? 1 : 0;
    }
    EXPECT_LT(same, 5);
  }
}

TEST(Sampler, SameSeedSameDraws) {
  const std::vector<float> logits(50, 0.0f);
  Sampler a({.temperature = 1, .seed = 7});
  Sampler b({.temperature = 1, .seed = 7});
  Sampler c({.temperature = 1, .seed = 8});
  int different = 0;
  for (int i = 0; i < 100; ++i) {
    const int32_t token = a.sample(logits);
    EXPECT_EQ(token, b.sample(logits));
    different += token != c.sample(logits);
  }
  EXPECT_GT(different, 50);
}

TEST(Sampler, RepetitionPenaltyCountsThePrompt) {
  const std::vector<float> logits = {2.0f, 1.9f};
  Sampler sampler({.repetition_penalty = 1.5f});
  const int32_t prompt = 0;
  sampler.see_prompt({&prompt, 1});
  EXPECT_EQ(sampler.sample(logits), 1);
}

TEST(Sampler, FrequencyPenaltyGrowsWithEachUse) {
  const std::vector<float> logits = {2.0f, 1.0f};
  Sampler sampler({.frequency_penalty = 0.6f});
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_EQ(sampler.sample(logits), 0);  // 2.0 − 0.6 is still ahead
  EXPECT_EQ(sampler.sample(logits), 1);  // 2.0 − 1.2 is not
}

// The largest `count` of `logits` as a device brings them.
struct Top {
  Top(std::span<const float> all, const TopRequest& request) {
    std::vector<int32_t> order(all.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](int32_t a, int32_t b) {
      const float x = all[static_cast<size_t>(a)], y = all[static_cast<size_t>(b)];
      return x > y || (x == y && a < b);
    });
    order.resize(static_cast<size_t>(request.count));
    for (const int32_t token : order) logits.push_back(all[static_cast<size_t>(token)]);
    tokens = order;
    if (request.temperature <= 0) return;
    float sum = 0;  // in the precision of a device
    for (const float v : all) sum += std::exp((v - logits.front()) * (1 / request.temperature));
    masses = {sum};
  }
  TopLogits view() const { return {static_cast<int64_t>(tokens.size()), logits, tokens, masses}; }
  std::vector<float> logits;
  std::vector<int32_t> tokens;
  std::vector<float> masses;
};

// From few candidates the same tokens as from all logits, wherever the candidates tell.
TEST(Sampler, CandidatesGiveTheTokensOfAllLogits) {
  const std::vector<SamplingParams> cases = {
      {},
      {.temperature = 0.8f, .top_k = 20, .seed = 3},
      {.temperature = 1.5f, .top_k = 50, .top_p = 0.9f, .seed = 4},
      {.temperature = 1, .top_k = 7, .top_p = 0.6f, .min_p = 0.1f, .seed = 5},
      {.temperature = 0.6f, .top_p = 0.9f, .seed = 6},
      {.temperature = 1, .top_p = 0.5f, .min_p = 0.02f, .seed = 7},
      {.temperature = 3, .top_p = 0.99f, .seed = 8}};
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal(0, 4);
  for (const SamplingParams& params : cases) {
    Sampler from_all(params), from_few(params);
    int told = 0;
    constexpr int kDraws = 300;
    for (int draw = 0; draw < kDraws; ++draw) {
      std::vector<float> logits(1000);
      for (float& v : logits) v = std::round(normal(random) * 8) / 8;  // with equals
      const auto request = from_few.wanted(std::ssize(logits), 64);
      ASSERT_TRUE(request);
      const auto token = from_few.sample_top(Top(logits, *request).view());
      told += token.has_value();
      const int32_t expected = from_all.sample(logits);
      EXPECT_EQ(token ? *token : from_few.sample(logits), expected) << draw;
    }
    const bool is_flat = params.temperature > 2;
    if (params.top_p == 1 || params.top_k > 0) EXPECT_EQ(told, kDraws);
    if (!is_flat) EXPECT_GT(told, kDraws / 2) << params.top_p;
    if (is_flat) EXPECT_LT(told, kDraws) << "more than 64 candidates count";
  }
}

TEST(Sampler, WhereAllLogitsAreNeededNoCandidatesAreWanted) {
  EXPECT_FALSE(Sampler({}).wanted(1000, 0));
  EXPECT_FALSE(Sampler({.repetition_penalty = 1.1f}).wanted(1000, 64));
  EXPECT_FALSE(Sampler({.temperature = 1}).wanted(1000, 64));
  EXPECT_FALSE(Sampler({.temperature = 1, .top_k = 65}).wanted(1000, 64));
  EXPECT_EQ(Sampler({.temperature = 1, .top_k = 64}).wanted(1000, 64)->count, 64);
  EXPECT_EQ(Sampler({.temperature = 1, .top_k = 64}).wanted(1000, 64)->temperature, 0);
  EXPECT_EQ(Sampler({.temperature = 2, .top_p = 0.5f}).wanted(1000, 64)->temperature, 2);
}

// What typical-p keeps, against the definition: most of the mass lies in one token, whose surprise
// is far below the average, so that it is not typical.
TEST(Sampler, TypicalKeepsWhatIsAboutAsSurprisingAsTheAverage) {
  const std::vector<double> p = {0.5, 0.2, 0.2, 0.06, 0.04};
  std::vector<float> logits;
  double entropy = 0;
  for (const double share : p) {
    logits.push_back(static_cast<float>(std::log(share)));
    entropy -= share * std::log(share);
  }
  // Distances from the entropy of 1.28: 0.59, 0.33, 0.33, 1.53, 1.94.
  ASSERT_NEAR(entropy, 1.288, 1e-3);
  const auto drawn = [&](float typical_p) {
    std::set<int32_t> tokens;
    SamplingParams params;
    params.temperature = 1;
    params.typical_p = typical_p;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      params.seed = seed;
      tokens.insert(Sampler(params).sample(logits));
    }
    return tokens;
  };
  EXPECT_EQ(drawn(0.1f), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn(0.3f), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(drawn(0.5f), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(drawn(1.0f), (std::set<int32_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace lotse
