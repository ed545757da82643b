#include "engine/likeliest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace lotse {
namespace {

// Against a stable sort, over random sizes, few distinct values and forbidden tokens.
TEST(Likeliest, IsWhatSortingGives) {
  std::mt19937 random(3);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  std::vector<Candidate> found;
  for (int trial = 0; trial < 400; ++trial) {
    std::vector<float> logits(static_cast<size_t>(pick(1, trial % 10 == 0 ? 20000 : 300)));
    const int64_t levels = pick(1, 40);
    for (float& logit : logits) {
      logit = pick(0, 9) == 0 ? -std::numeric_limits<float>::infinity()
                              : static_cast<float>(pick(-levels, levels)) * 0.25f;
    }
    std::vector<Candidate> sorted;
    for (size_t i = 0; i < logits.size(); ++i) {
      sorted.push_back({logits[i], static_cast<int32_t>(i)});
    }
    std::ranges::sort(sorted, {}, [](const Candidate& c) { return std::pair(-c.logit, c.token); });
    EXPECT_EQ(likeliest(logits), sorted[0].token);
    const int64_t count = pick(1, std::ssize(logits) + 3);
    find_likeliest(logits, count, found);
    ASSERT_EQ(std::ssize(found), std::min(count, std::ssize(logits)));
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].token, sorted[i].token) << i << " of " << count;
      ASSERT_EQ(found[i].logit, sorted[i].logit);
    }
  }
}

TEST(Likeliest, GivesATokenEvenOfNothingButNan) {
  const std::vector<float> logits(70, std::nanf(""));
  EXPECT_EQ(likeliest(logits), 0);
  std::vector<Candidate> found;
  find_likeliest(logits, 3, found);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].token, 0);
}

}  // namespace
}  // namespace lotse
