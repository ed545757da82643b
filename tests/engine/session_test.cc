#include "engine/session.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "device/registry.h"
#include "engine/score.h"
#include "model/model.h"

namespace lotse {
namespace {

class SessionTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto folder = std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden/qwen3";
    const Checkpoint checkpoint = open_checkpoint(folder).value();
    model_ = load_model(checkpoint).value();
    limits_.max_tokens = 7;
    limits_.max_outputs = 5;
    limits_.max_context = 60;
    limits_.block_tokens = 8;
    limits_.cache_blocks = 12;
    limits_.cache_type = DType::f32;
    device_ = open_device(GetParam(), {1}).value();
    executable_ = device_->load(model_.program, model_.weights, limits_).value();
    pool_ = std::make_unique<BlockPool>(limits_.cache_blocks);
    for (int32_t i = 0; i < 40; ++i) tokens_.push_back(i * 37 % 100);
  }

  std::unique_ptr<Session> session() {
    return std::make_unique<Session>(*executable_, *pool_, limits_, model_.config.vocabulary);
  }

  std::vector<float> last(Session& session, std::span<const int32_t> tokens) {
    const auto logits = session.append(tokens).value();
    return {logits.begin(), logits.end()};
  }

  Model model_;
  ExecutionLimits limits_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  std::unique_ptr<BlockPool> pool_;
  std::vector<int32_t> tokens_;
};

// However a prompt is cut, the result is the same to the last bit.
TEST_P(SessionTest, ChunkingChangesNothing) {
  const auto whole = session();
  const std::vector<float> expected = last(*whole, tokens_);
  for (size_t cut = 1; cut < tokens_.size(); cut += 3) {
    const auto split = session();
    last(*split, std::span(tokens_).first(cut));
    EXPECT_EQ(last(*split, std::span(tokens_).subspan(cut)), expected) << cut;
  }
}

TEST_P(SessionTest, ReuseKeepsTheCommonBeginning) {
  const auto s = session();
  last(*s, tokens_);
  std::vector<int32_t> other = tokens_;
  other[20] = 99;
  EXPECT_EQ(s->reuse(other), 20);
  const std::vector<float> resumed = last(*s, std::span(other).subspan(20));
  EXPECT_EQ(s->reuse(other), 39);  // the last token is always computed again
  const auto fresh = session();
  EXPECT_EQ(resumed, last(*fresh, other));
}

TEST_P(SessionTest, ScoringSeesTheSameLogits) {
  const auto s = session();
  std::vector<std::vector<float>> rows;
  ASSERT_TRUE(s->append_scored(tokens_, [&](size_t i, std::span<const float> logits) {
    EXPECT_EQ(i, rows.size());
    rows.emplace_back(logits.begin(), logits.end());
  }));
  ASSERT_EQ(rows.size(), tokens_.size());
  const auto fresh = session();
  EXPECT_EQ(last(*fresh, tokens_), rows.back());
}

TEST_P(SessionTest, FullCacheAndContextAreErrorsThatLoseNothing) {
  const auto first = session();
  last(*first, tokens_);  // 5 blocks
  const auto second = session();
  last(*second, tokens_);  // 5 blocks
  const auto third = session();
  EXPECT_EQ(third->append(tokens_).error().code, ErrorCode::limit);
  third->rewind(0);
  EXPECT_EQ(pool_->free_blocks(), 2);
  EXPECT_EQ(first->append(std::span(tokens_).first(21)).error().code, ErrorCode::limit);
}

INSTANTIATE_TEST_SUITE_P(Devices, SessionTest, testing::Values("reference", "cpu"));

TEST(Windows, CoverEveryTokenOnce) {
  std::vector<int32_t> tokens(23);
  for (int32_t i = 0; i < 23; ++i) tokens[static_cast<size_t>(i)] = i;
  std::vector<int32_t> joined;
  for (const auto& window : cut_windows(tokens, 6, 77)) {
    EXPECT_LE(window.size(), 6u);
    EXPECT_EQ(window.front(), 77);
    joined.insert(joined.end(), window.begin() + 1, window.end());
  }
  EXPECT_EQ(joined, tokens);
}

TEST(Score, LogProbabilitiesSumToOne) {
  const std::vector<float> logits = {1000, 999, -5, 998.5f};
  double total = 0;
  for (int32_t i = 0; i < 4; ++i) total += std::exp(log_probability(logits, i));
  EXPECT_NEAR(total, 1, 1e-12);
}

}  // namespace
}  // namespace lotse
