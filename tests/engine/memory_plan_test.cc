#include "engine/memory_plan.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// 64 MiB of working memory, then room for 1,000 positions of 1 MiB.
MemoryNeeds needs(int64_t max_context, int64_t sequences) {
  return {100 * kMiB + 64 * kMiB + 1000 * kMiB, 100 * kMiB, kMiB, max_context, sequences};
}

TEST(MemoryPlan, GivesEverySequenceItsContextWhereItCan) {
  const MemoryPlan plan = plan_memory(needs(200, 4), {}).value();
  EXPECT_EQ(plan.context, 200);
  EXPECT_EQ(plan.cache_tokens, 800);
  EXPECT_EQ(plan.text(),
            "100.00 MiB of weights, 800.00 MiB of cache (800 positions, 1.00 MiB each), 1.14 GiB "
            "available");
}

TEST(MemoryPlan, FitsCacheThenContext) {
  EXPECT_EQ(plan_memory(needs(200, 16), {}).value().cache_tokens, 1000);
  const MemoryPlan shortened = plan_memory(needs(5000, 16), {}).value();
  EXPECT_EQ(shortened.context, 1000);
  EXPECT_EQ(shortened.cache_tokens, 1000);
}

TEST(MemoryPlan, HonoursWishesOrNamesBothNumbers) {
  const MemoryPlan plan = plan_memory(needs(5000, 16), {300, 700}).value();
  EXPECT_EQ(plan.context, 300);
  EXPECT_EQ(plan.cache_tokens, 700);
  EXPECT_EQ(plan_memory(needs(200, 1), {300, 0}).value().context, 200);  // the model's maximum
  EXPECT_EQ(plan_memory(needs(5000, 1), {2000, 0}).error().message,
            "2000 positions need 1.95 GiB of cache, and 1000.00 MiB of 1.14 GiB are left beside "
            "100.00 MiB "
            "of weights: 1000 positions fit (--context)");
  EXPECT_FALSE(plan_memory(needs(5000, 1), {100, 2000}));
}

TEST(MemoryPlan, RefusesWhatIsTooSmallToUse) {
  MemoryNeeds small = needs(5000, 1);
  small.available = 120 * kMiB;
  EXPECT_EQ(plan_memory(small, {}).error().message,
            "the weights need 100.00 MiB, and 120.00 MiB are available; `lotse port` to a smaller "
            "format, "
            "or more memory, helps");
  small.available = 174 * kMiB;  // ten positions
  EXPECT_EQ(plan_memory(small, {}).error().code, ErrorCode::limit);
  EXPECT_EQ(plan_memory(small, {10, 0}).value().cache_tokens, 10);
}

}  // namespace
}  // namespace lotse
