#include "model/rope.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

TEST(Rope, DynamicScalingChangesNothingUpToTheTrainedContext) {
  RopeConfig rope;
  rope.type = "dynamic";
  rope.factor = 2;
  const auto plain = make_rope_table(RopeConfig{}, 64, 2048, 2048).value();
  EXPECT_EQ(make_rope_table(rope, 64, 2048, 2048)->inverse_frequency, plain.inverse_frequency);
  const auto stretched = make_rope_table(rope, 64, 2048, 4096).value();
  EXPECT_FLOAT_EQ(stretched.inverse_frequency.front(), 1.0f);
  EXPECT_LT(stretched.inverse_frequency.back(), plain.inverse_frequency.back());
}

TEST(Rope, LongRopeNeedsOneFactorAPair) {
  RopeConfig rope;
  rope.type = "longrope";
  rope.short_factor.assign(31, 1.0);
  EXPECT_EQ(make_rope_table(rope, 64, 2048, 2048).error().code, ErrorCode::invalid_input);
}

}  // namespace
}  // namespace lotse
