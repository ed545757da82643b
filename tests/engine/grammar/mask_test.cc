// Masks against the definition: a token is allowed if the text with it can be completed.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

namespace lotse {
namespace {

std::set<int32_t> allowed(GrammarMatcher& matcher, const TokenTable& tokens) {
  std::vector<uint32_t> bits(tokens.mask_words(), 0xdeadbeef);
  matcher.fill_mask(bits);
  std::set<int32_t> result;
  for (int32_t t = 0; t < tokens.vocab_size(); ++t) {
    if ((bits[static_cast<size_t>(t) / 32] >> (t % 32) & 1) != 0) result.insert(t);
  }
  return result;
}

// All bytes, and pieces that cross every border of a grammar; two tokens with the same bytes.
std::shared_ptr<const TokenTable> small_vocabulary(unsigned seed) {
  std::vector<std::string> tokens(1);  // 0: special
  for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
  const char* const kParts[] = {"{", "}", "\"", ":",  ",", " ", "[",    "]",  "a",  "b",    "1",
                                "0", "-", ".",  "\\", "n", "é", "\xe4", "中", "\n", "true", "null"};
  std::mt19937 random(seed);
  for (int i = 0; i < 1500; ++i) {
    std::string token;
    for (auto n = 1 + random() % 5; n > 0; --n) token += kParts[random() % std::size(kParts)];
    tokens.push_back(token);
  }
  tokens.push_back(tokens[300]);
  return TokenTable::create(tokens);
}

std::vector<Grammar> grammars() {
  std::vector<Grammar> result;
  result.push_back(*Grammar::regex("[ab]{2,5}(\\d+|é*)\\n?"));
  result.push_back(*Grammar::regex("\"[^\"\\\\\\x00-\\x1f]{0,7}\"( [^\\n]*)?"));
  result.push_back(*Grammar::choice(std::vector<std::string>{"a", "ab1", "{a}", "中中", "中a"}));
  result.push_back(*Grammar::ebnf(
      "root ::= value\nvalue ::= \"{\" (str \":\" value (\",\" str \":\" value)*)? \"}\" | str | "
      "num | \"[\" (value (\",\" value)*)? \"]\"\nstr ::= \"\\\"\" [^\"\\\\\\n]* \"\\\"\"\n"
      "num ::= \"-\"? [0-9]+ (\".\" [0-9]+)?"));
  result.push_back(*Grammar::ebnf("root ::= \"a\" root \"a\" | \"b\" root \"b\" | [^ab]*"));
  return result;
}

TEST(Mask, IsWhatCanBeAcceptedOneByOne) {
  const auto tokens = small_vocabulary(3);
  std::mt19937 random(11);
  int64_t checked = 0;
  for (const Grammar& grammar : grammars()) {
    for (const int64_t memory : {int64_t{20'000}, int64_t{32} << 20}) {
      const auto masks = std::make_shared<GrammarMasks>(
          grammar, tokens, MaskLimits{.automaton_bytes = memory, .mask_bytes = memory});
      for (int run = 0; run < 6; ++run) {
        GrammarMatcher matcher(masks);
        std::string text;
        for (int step = 0; step < 25; ++step) {
          const auto mask = allowed(matcher, *tokens);
          std::set<int32_t> expected;
          for (int32_t t = 0; t < tokens->vocab_size(); ++t) {
            GrammarMatcher trial(masks);
            if (trial.accept_bytes(text) && trial.accept(t)) expected.insert(t);
          }
          ASSERT_EQ(mask, expected) << text;
          ++checked;
          EXPECT_EQ(matcher.can_end(), grammar_accepts(grammar, text)) << text;
          EXPECT_EQ(matcher.is_finished(), matcher.can_end() && mask.empty());
          if (mask.empty()) break;
          auto choice = mask.begin();
          std::advance(choice, static_cast<long>(random() % mask.size()));
          ASSERT_TRUE(matcher.accept(*choice));
          text += tokens->bytes(*choice);
        }
      }
    }
  }
  EXPECT_GT(checked, 400);
}

TEST(Mask, MemoryStaysBounded) {
  const auto tokens = small_vocabulary(5);
  const auto grammar = *Grammar::ebnf("root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"1\"");
  constexpr int64_t kLimit = 100'000;
  const auto masks = std::make_shared<GrammarMasks>(grammar, tokens, MaskLimits{kLimit, kLimit});
  std::mt19937 random(1);
  int64_t most = 0;
  for (int run = 0; run < 200; ++run) {
    GrammarMatcher matcher(masks);
    std::string text;
    for (int i = 0; i < 30; ++i) {
      text += random() % 2 == 0 ? 'a' : 'b';
      ASSERT_TRUE(matcher.accept_bytes(text.substr(text.size() - 1)));
      ASSERT_TRUE(allowed(matcher, *tokens).contains(1 + 'a'));
      most = std::max(most, masks->memory_bytes());
    }
    ASSERT_TRUE(matcher.accept_bytes("1"));
    ASSERT_TRUE(matcher.accept_bytes(std::string(text.rbegin(), text.rend())));
    EXPECT_TRUE(matcher.is_finished());
  }
  EXPECT_LT(most, 3 * kLimit);
}

TEST(Mask, ARefusedTokenChangesNothing) {
  const auto tokens = small_vocabulary(7);
  const auto masks = std::make_shared<GrammarMasks>(*Grammar::regex("a(b|1)"), tokens);
  GrammarMatcher matcher(masks);
  EXPECT_FALSE(matcher.accept(0));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(1 << 30));
  EXPECT_FALSE(matcher.accept(1 + 'b'));
  EXPECT_TRUE(matcher.accept(1 + 'a'));
  EXPECT_FALSE(matcher.accept(1 + 'a'));
  EXPECT_TRUE(matcher.accept(1 + 'b'));
  EXPECT_TRUE(matcher.is_finished());
}

}  // namespace
}  // namespace lotse
