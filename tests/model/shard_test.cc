// Every family divided among ranks gives the tokens that one process gives.
#include <map>

#include "device/reference/reference_device.h"
#include "device/walk/shard.h"
#include "tests/device/thread_group.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

class ShardTest : public GoldenTest {
 protected:
  // Logits of the prompt on each rank, or the error with which a rank refuses.
  void expect_equal_logits(int32_t ranks) {
    widen_to_f32(model_.weights);
    const std::unique_ptr<Device> alone = make_reference_device();
    Runner whole(*alone, model_, DType::f32, std::ssize(golden_.prompt));
    const std::span<const float> expected = whole.step(golden_.prompt);
    ThreadGroup team(ranks);
    std::vector<double> distance(static_cast<size_t>(ranks), 1e9);
    team.run([&](Group& group) {
      Model part = model_;
      shard_model(part, group.rank(), group.size()).value();
      const std::unique_ptr<Device> device = make_reference_device(&group);
      Runner runner(*device, part, DType::f32, std::ssize(golden_.prompt));
      distance[static_cast<size_t>(group.rank())] =
          relative_rms(runner.step(golden_.prompt), expected);
    });
    for (const double d : distance) EXPECT_LT(d, 1e-6);
  }
};

// Two ranks, or a clear refusal where they cannot share the model's heads.
TEST_P(ShardTest, GivesTheSameLogitsOnTwoRanks) {
  if (model_.config.heads % 2 == 0) return expect_equal_logits(2);
  const auto refused = shard(model_.program, 0, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(refused.error().message,
            fmt::format("operator layers.0.qkv: {} heads cannot be divided among 2 ranks",
                        model_.config.heads));
}

INSTANTIATE_TEST_SUITE_P(Families, ShardTest, testing::ValuesIn(golden_cases()),
                         [](const auto& instance) { return instance.param; });

// Every element of every weight is on as many ranks as it should be: once where it is divided.
TEST(Shard, SharesCoverEachWeight) {
  const Model model = load_model(open_checkpoint(kGolden / "mixtral").value()).value();
  constexpr int32_t kRanks = 2;
  std::map<std::string, std::vector<int64_t>> rows;
  for (int32_t rank = 0; rank < kRanks; ++rank) {
    const ShardedProgram mine = shard(model.program, rank, kRanks).value();
    EXPECT_TRUE(has_collectives(mine.program));
    for (size_t i = 0; i < model.weights.size(); ++i) {
      const WeightDecl& decl = model.program.weights[i];
      const Weight part = take_share(model.weights[i], decl.role, mine.shares[i]).value();
      int64_t elements = 0;
      for (const WeightPart& p : part.parts) {
        EXPECT_EQ(p.data.elements(), p.rows * p.columns) << decl.sources[0];
        elements += p.rows * p.columns;
      }
      const WeightDecl& smaller = mine.program.weights[i];
      EXPECT_EQ(elements, smaller.rows * smaller.columns) << decl.sources[0];
      rows[decl.sources[0]].push_back(elements);
    }
  }
  EXPECT_EQ(rows["model.layers.0.self_attn.o_proj.weight"][0] * kRanks,
            model.config.hidden * model.config.heads * model.config.head_dim);
}

TEST(Shard, NamesWhatCannotBeDivided) {
  const Model model = load_model(open_checkpoint(kGolden / "llama").value()).value();
  const auto refused = shard(model.program, 0, 3);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(refused.error().message,
            "operator layers.0.gate_up: 80 columns cannot be divided among 3 ranks");
}

// Columns of every format, cut at random places, against the values of the whole weight.
TEST(Shard, RefusesEncoders) {
  const Model model = load_model(open_checkpoint(kGolden / "encoders/bert").value()).value();
  const auto refused = shard(model.program, 0, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "operator layers.0.attention: an encoder is not divided among ranks; run it on one");
}

TEST(Shard, CutsColumnsOfInt4OnlyBetweenGroups) {
  constexpr int64_t kRows = 3;
  constexpr int64_t kColumns = 256;
  std::vector<uint8_t> bytes(static_cast<size_t>(kRows * kColumns / 2));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37);
  std::vector<float> scales = {1, 2, 3, 4, 5, 6};
  WeightPart part{WeightFormat::w4a16,
                  kRows,
                  kColumns,
                  make_tensor(DType::i4, Shape({kRows, kColumns}), bytes),
                  make_tensor(DType::f32, Shape({kRows, 2}), scales),
                  128};
  const Weight whole{{part}};
  const Weight right = take_share(whole, WeightRole::matrix, {{{1, 2}}, {128, 128}}).value();
  const WeightPart& cut = right.parts.front();
  EXPECT_EQ(cut.rows, 2);
  EXPECT_EQ(cut.columns, 128);
  EXPECT_EQ(cut.scales.as<float>()[0], 4);
  EXPECT_EQ(cut.scales.as<float>()[1], 6);
  EXPECT_EQ(cut.data.as<uint8_t>()[0], bytes[128 + 64]);
  EXPECT_EQ(cut.data.as<uint8_t>()[64], bytes[256 + 64]);
  EXPECT_FALSE(take_share(whole, WeightRole::matrix, {{{0, 3}}, {64, 64}}));
}

}  // namespace
}  // namespace lotse
