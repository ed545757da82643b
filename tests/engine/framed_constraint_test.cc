// Reasoning and a given beginning before a constrained text.
#include "engine/framed_constraint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/grammar_constraint.h"

namespace lotse {
namespace {

class FramedConstraintTest : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::load(std::filesystem::path(LOTSE_SOURCE_DIR) / "models" / "lotse-nano");
  }

  std::vector<int32_t> tokens(const std::string& text) const {
    return *tokenizer->encode(text, {.add_bos_eos = false, .parse_special = false});
  }

  std::unique_ptr<TokenConstraint> schema(const std::string& text) const {
    return std::make_unique<GrammarConstraint>(std::make_shared<GrammarMasks>(
        *Grammar::json_schema(text), TokenTable::create(*tokenizer)));
  }

  std::vector<int32_t> allowed(TokenConstraint& constraint) const {
    std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()), 1.0F);
    constraint.mask(logits);
    std::vector<int32_t> result;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (std::isfinite(logits[i])) result.push_back(static_cast<int32_t>(i));
    }
    return result;
  }

  std::shared_ptr<const Tokenizer> tokenizer;
};

TEST_F(FramedConstraintTest, ReasoningThenTheBeginningThenTheGrammar) {
  const auto beginning = tokens("<tool_call>");
  FramedConstraint constraint(*tokenizer, {"</think>", beginning}, schema(R"({"const": 7})"));
  for (const int32_t token : tokens("I think </thin and </think>")) {
    EXPECT_FALSE(constraint.can_end());
    const auto free = allowed(constraint);
    for (const int32_t id : free) EXPECT_FALSE(tokenizer->is_special(id)) << id;
    EXPECT_GT(std::ssize(free), tokenizer->vocab_size() / 2);
    constraint.accept(token);
  }
  for (const int32_t token : beginning) {
    EXPECT_FALSE(constraint.can_end());
    EXPECT_EQ(allowed(constraint), std::vector<int32_t>{token});
    constraint.accept(token);
  }
  EXPECT_FALSE(constraint.can_end());
  EXPECT_EQ(allowed(constraint), tokens("7"));
  constraint.accept(tokens("7").front());
  EXPECT_TRUE(constraint.can_end());
  EXPECT_TRUE(constraint.is_finished());
}

TEST_F(FramedConstraintTest, AnythingMayFollowWithoutAGrammar) {
  const auto beginning = tokens("So");
  FramedConstraint constraint(*tokenizer, {"", beginning}, nullptr);
  for (const int32_t token : beginning) {
    EXPECT_EQ(allowed(constraint), std::vector<int32_t>{token});
    constraint.accept(token);
  }
  EXPECT_TRUE(constraint.can_end());
  EXPECT_FALSE(constraint.is_finished());
  EXPECT_EQ(std::ssize(allowed(constraint)), tokenizer->vocab_size());
}

// A request may have forbidden the one token that must come: then none is left.
TEST_F(FramedConstraintTest, ForbiddenTokensStayForbidden) {
  FramedConstraint constraint(*tokenizer, {"", {5}}, nullptr);
  std::vector<float> logits(8, 1.0F);
  logits[5] = -INFINITY;
  constraint.mask(logits);
  for (const float logit : logits) EXPECT_EQ(logit, -INFINITY);
}

}  // namespace
}  // namespace lotse
