#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

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

}  // namespace
}  // namespace lotse
