#include "device/walk/cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "device/walk/step.h"
#include "programs.h"

namespace lotse {
namespace {

double brute_force_keys(int64_t new_tokens, int64_t context, int64_t window) {
  int64_t keys = 0;
  for (int64_t position = context - new_tokens; position < context; ++position) {
    for (int64_t key = 0; key <= position; ++key) keys += window == 0 || key > position - window;
  }
  return static_cast<double>(keys);
}

TEST(Cost, AttendedKeysAreThoseCountedOneByOne) {
  for (int64_t context = 1; context <= 12; ++context) {
    for (int64_t fresh = 1; fresh <= context; ++fresh) {
      for (int64_t window = 0; window <= 14; ++window) {
        EXPECT_DOUBLE_EQ(attended_keys(fresh, context, window),
                         brute_force_keys(fresh, context, window))
            << fresh << " " << context << " " << window;
      }
    }
  }
}

// Over all ways in which two tokens choose 2 of 4 experts.
TEST(Cost, ExpectedExpertsAreTheAverageOverAllChoices) {
  std::vector<unsigned> choices;
  for (unsigned set = 0; set < 16; ++set) {
    if (__builtin_popcount(set) == 2) choices.push_back(set);
  }
  double sum = 0;
  for (const unsigned a : choices) {
    for (const unsigned b : choices) sum += __builtin_popcount(a | b);
  }
  EXPECT_NEAR(expected_experts(4, 2, 2), sum / 36, 1e-12);
  EXPECT_NEAR(expected_experts(128, 8, 1), 8, 1e-9);
  EXPECT_NEAR(expected_experts(128, 8, 4096), 128, 1e-9);
}

const Op& op_called(const Program& program, const std::string& name) {
  return *std::ranges::find(program.ops, name, &Op::name);
}

// 3 sequences with 5 new tokens each and 20 positions in the cache.
constexpr StepShape kStep{3, 5, 20, 1};

TEST(Cost, HandComputedOperators) {
  const Program program = dense_program();
  const Storage storage = uniform_storage(program, "bf16", "bf16");
  const auto cost = [&](const std::string& name) {
    return operator_cost(program, storage, op_called(program, name), kStep);
  };
  const OperatorCost qkv = cost("layers.0.qkv");
  EXPECT_DOUBLE_EQ(qkv.flops, 2.0 * 15 * 192 * 64);
  EXPECT_DOUBLE_EQ(qkv.bytes_read, 192 * 64 * 2 + 15 * 64 * 2);
  EXPECT_DOUBLE_EQ(qkv.bytes_written, 15 * 192 * 2);
  EXPECT_EQ(qkv.math, MathType::bf16);
  EXPECT_EQ(qkv.group, OperatorClass::matmul);

  const OperatorCost attention = cost("layers.0.attention");
  // Scores and mixing: 2 · 2 FLOP for each key, head and column; keys 16 + 17 + … + 20.
  EXPECT_DOUBLE_EQ(attention.flops, 3.0 * 90 * 8 * 16 * 4);
  EXPECT_DOUBLE_EQ(attention.bytes_read, 15 * 192 * 2 + 3 * 20 * (2 * 2 * 16 * 2));
  EXPECT_DOUBLE_EQ(attention.bytes_written, 15 * 128 * 2 + 15 * (2 * 2 * 16 * 2));

  EXPECT_DOUBLE_EQ(cost("embed").bytes_read, 15 * 64 * 2);
  EXPECT_DOUBLE_EQ(cost("logits").flops, 2.0 * 3 * 300 * 64);  // one output row a sequence
  EXPECT_DOUBLE_EQ(cost("layers.0.rope").bytes_read, 15 * 10 * 16 * 2);
  EXPECT_DOUBLE_EQ(cost("layers.0.attention_norm").bytes_written, 15 * 64 * 2);
  EXPECT_DOUBLE_EQ(cost("layers.0.activation").bytes_read, 15 * 320 * 2);
}

TEST(Cost, WindowsBoundTheCacheThatIsRead) {
  const Program program = dense_program(4);
  const Storage storage = uniform_storage(program, "bf16", "bf16");
  const OperatorCost cost =
      operator_cost(program, storage, op_called(program, "layers.0.attention"), kStep);
  EXPECT_DOUBLE_EQ(cost.flops, 3.0 * 5 * 4 * 8 * 16 * 4);
  EXPECT_DOUBLE_EQ(cost.bytes_read, 15 * 192 * 2 + 3 * (4 + 5 - 1) * (2 * 2 * 16 * 2));
}

TEST(Cost, ExpertsAreReadAsOftenAsTheyAreReached) {
  const Program program = moe_program();
  const Storage storage = uniform_storage(program, "w8a8", "bf16");
  const auto cost = [&](int64_t tokens) {
    return operator_cost(program, storage, op_called(program, "layers.0.moe"), {tokens, 1, 1, 1});
  };
  EXPECT_DOUBLE_EQ(cost(5).flops, 5 * 2.0 * (3 * (64 * 64 + 64 * 32) + 16 * 64));
  EXPECT_EQ(cost(5).math, MathType::i8);
  const double experts = 16 * (64 * (64 + 4) + 64 * (32 + 4));
  const double few = cost(1).bytes_read;
  EXPECT_NEAR(few, experts * 3 / 16 + 16 * (64 + 4) + 64 * 2 + 3 * 3 * 32 * 2, 1e-6);
  const double many = cost(100'000).bytes_read - 100'000 * (64 + 9 * 32) * 2.0;
  EXPECT_NEAR(many, experts + 16 * (64 + 4), 1e-3);
}

TEST(Cost, TheFormatNamesTheArithmetic) {
  const Program program = dense_program();
  const auto math = [&](const std::string& format, const std::string& activation) {
    return operator_cost(program, uniform_storage(program, format, activation),
                         op_called(program, "layers.0.qkv"), kStep)
        .math;
  };
  EXPECT_EQ(math("w8a8", "bf16"), MathType::i8);
  EXPECT_EQ(math("w4a8", "bf16"), MathType::i8);
  EXPECT_EQ(math("w4a16", "f16"), MathType::f16);
  EXPECT_EQ(math("fp8_block", "bf16"), MathType::f8);
  EXPECT_EQ(math("q4_k", "f16"), MathType::f16);
  EXPECT_EQ(math("f32", "f32"), MathType::f32);
}

TEST(StepTime, AllReduceUsesTheWiresThatTheDevicesShare) {
  const ChipProfile b2 = load_chip("ascend-910b2").value();
  EXPECT_DOUBLE_EQ(all_reduce_time(b2, 28e9, 1).value(), 0);
  EXPECT_NEAR(all_reduce_time(b2, 28e9, 2).value(), 1, 1e-3);             // one wire of 28 GB/s
  EXPECT_NEAR(all_reduce_time(b2, 196e9, 8).value(), 1.75, 1e-3);         // seven wires
  EXPECT_NEAR(all_reduce_time(b2, 25e9, 16).value(), 1.875 / 0.7, 1e-3);  // between servers
  const ChipProfile package = load_chip("ascend-910c").value();
  EXPECT_NEAR(all_reduce_time(package, 224e9, 2).value(), 1, 1e-3);
  EXPECT_NEAR(all_reduce_time(package, 196e9, 4).value(), 1.5, 1e-3);
  EXPECT_NEAR(all_reduce_time(load_chip("h800").value(), 160e9, 8).value(), 1.75, 1e-3);
  const auto none = all_reduce_time(load_chip("ascend-310p").value(), 1, 2);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("no link"), std::string::npos);
}

TEST(StepTime, IsTheSumOfItsOperators) {
  const Program program = dense_program();
  const Storage storage = uniform_storage(program, "bf16", "bf16");
  const ChipProfile chip = load_chip("ascend-910b1").value();
  const StepTime time = step_time(program, storage, kStep, chip, 1).value();
  ASSERT_EQ(time.ops.size(), program.ops.size());
  double sum = 0;
  for (const Time& op : time.ops) sum += op.seconds;
  EXPECT_DOUBLE_EQ(time.seconds, sum);
  EXPECT_EQ(time.communication, 0);
  // So small that every operator takes its floor.
  EXPECT_EQ(time.ops.front().limited_by, Limit::launch);
  EXPECT_GT(step_time(program, storage, kStep, chip, 2).value().communication, 0);
}

}  // namespace
}  // namespace lotse
