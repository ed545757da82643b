// Grammars in the serving engine: whatever else a request asks for, its answer keeps to the
// grammar.
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "engine/grammar_cache.h"
#include "engine/grammar_constraint.h"
#include "engine/serving_engine.h"

namespace lotse {
namespace {

// The golden model's vocabulary as bytes: token t is the character t, and 2 ends a text.
constexpr int32_t kVocabulary = 128;
constexpr int32_t kEnd = 2;

class Answer final : public RequestSink {
 public:
  bool on_token(const GeneratedToken& token) override {
    text += static_cast<char>(token.token);
    return true;
  }
  void on_end(const RequestOutcome& outcome) override {
    const std::scoped_lock lock(mutex_);
    outcome_ = outcome;
    changed_.notify_all();
  }
  const RequestOutcome& wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [this] { return outcome_.has_value(); }));
    return *outcome_;
  }

  std::string text;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<RequestOutcome> outcome_;
};

class GrammarServingTest : public testing::Test {
 protected:
  static std::unique_ptr<ServingEngine> start(ServingOptions options = {}) {
    EngineOptions engine;
    engine.threads = 1;
    engine.context = 256;
    engine.max_sequences = options.max_sequences;
    engine.cache_tokens = 4096;
    const auto folder = std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden/qwen3";
    return ServingEngine::start(Engine::open(folder, engine).value(), options);
  }

  static std::shared_ptr<GrammarMasks> masks(const Grammar& grammar) {
    std::vector<std::string> bytes;
    for (int c = 0; c < kVocabulary; ++c) bytes.push_back(std::string(1, static_cast<char>(c)));
    bytes[0].clear();
    bytes[kEnd].clear();
    return std::make_shared<GrammarMasks>(grammar, TokenTable::create(std::move(bytes)));
  }
  static std::shared_ptr<GrammarMasks> regex(const char* pattern) {
    return masks(Grammar::regex(pattern).value());
  }

  static GenerationRequest request(const std::shared_ptr<GrammarMasks>& grammar,
                                   uint64_t seed = 0) {
    GenerationRequest asked;
    asked.prompt = {5, 6, static_cast<int32_t>(seed % 100) + 7};
    asked.max_tokens = 100;
    asked.sampling.temperature = seed % 2 == 0 ? 0.0f : 1.5f;
    asked.sampling.seed = seed;
    asked.stop_tokens = {kEnd};
    asked.constraint = std::make_unique<GrammarConstraint>(grammar);
    return asked;
  }

  static std::shared_ptr<Answer> submit(ServingEngine& engine, GenerationRequest asked) {
    auto answer = std::make_shared<Answer>();
    EXPECT_TRUE(engine.submit(std::move(asked), answer));
    return answer;
  }
};

TEST_F(GrammarServingTest, AnswersKeepToIt) {
  const auto engine = start();
  const Grammar grammar = Grammar::json_schema(R"({"type": "object", "properties": {
      "a": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
      "b": {"type": "string", "maxLength": 8}}, "required": ["a", "b"],
      "additionalProperties": false})")
                              .value();
  const auto shared = masks(grammar);
  std::vector<std::shared_ptr<Answer>> answers;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    GenerationRequest asked = request(shared, seed);
    asked.max_tokens = 200;
    answers.push_back(submit(*engine, std::move(asked)));
  }
  for (const auto& answer : answers) {
    ASSERT_EQ(answer->wait().reason, FinishReason::stop) << answer->text;
    EXPECT_TRUE(grammar_accepts(grammar, answer->text)) << answer->text;
  }
}

// Drafts are checked against the constraint of the tokens before them.
TEST_F(GrammarServingTest, DraftsChangeNothing) {
  ServingOptions drafting;
  drafting.max_sequences = 3;
  drafting.draft_tokens = 6;
  const auto guessing = start(drafting);
  const auto plain = start();
  // Much of it repeats itself, so that guesses come true, and must not where the count is full.
  for (const char* pattern : {"(ab|cd){20}!", "(abc,){9}[x-z]+", "([ab]{3};){12}", "a{30}b*"}) {
    const auto with_drafts = regex(pattern);
    const auto without = regex(pattern);
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const auto guessed = submit(*guessing, request(with_drafts, seed));
      const auto one_by_one = submit(*plain, request(without, seed));
      EXPECT_EQ(guessed->wait().reason, one_by_one->wait().reason);
      EXPECT_EQ(guessed->text, one_by_one->text) << pattern << " " << seed;
    }
  }
  guessing->drain();
  EXPECT_GT(guessing->stats().accepted_tokens, 1000);
  EXPECT_GT(guessing->stats().drafted_tokens, guessing->stats().accepted_tokens);
}

TEST_F(GrammarServingTest, EndsWhereNothingMayFollow) {
  const auto engine = start();
  GenerationRequest asked = request(regex("abc|abd"));
  asked.ignore_eos = true;
  asked.min_tokens = 50;
  const auto answer = submit(*engine, std::move(asked));
  EXPECT_EQ(answer->wait().reason, FinishReason::stop);
  EXPECT_EQ(answer->wait().generated_tokens, 3);
  EXPECT_TRUE(answer->text.starts_with("ab"));
}

TEST_F(GrammarServingTest, TheLimitCutsIt) {
  const auto engine = start();
  GenerationRequest asked = request(regex("[a-f]{30}"));
  asked.max_tokens = 7;
  const auto answer = submit(*engine, std::move(asked));
  EXPECT_EQ(answer->wait().reason, FinishReason::length);
  EXPECT_EQ(answer->text.size(), 7u);
}

TEST_F(GrammarServingTest, EndTokensWaitForMinimumAndForACompleteText) {
  const auto engine = start();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    GenerationRequest asked = request(regex("(ab)*"), seed);
    asked.min_tokens = 5;
    asked.logit_bias = {{kEnd, 100}};  // ends as soon as it may
    const auto answer = submit(*engine, std::move(asked));
    EXPECT_EQ(answer->wait().reason, FinishReason::stop);
    EXPECT_EQ(answer->wait().stop_token, kEnd);
    EXPECT_EQ(answer->text, "ababab");
  }
}

TEST_F(GrammarServingTest, SaysSoWhereTheRequestContradictsItself) {
  const auto engine = start();
  const auto ask = [&](const char* pattern, std::vector<int32_t> allowed) {
    for (uint64_t seed = 0; seed < 2; ++seed) {
      GenerationRequest asked = request(regex(pattern), seed);
      asked.allowed_tokens = allowed;
      asked.sampling.typical_p = seed == 0 ? 1 : 0.5f;
      const auto answer = submit(*engine, std::move(asked));
      answer->wait();
      if (seed == 1) return answer;
    }
    return std::shared_ptr<Answer>();
  };
  EXPECT_EQ(ask("xyz", {'a', 'b'})->wait().reason, FinishReason::dead_end);
  const auto half = ask("aab", {'a'});
  EXPECT_EQ(half->wait().reason, FinishReason::dead_end);
  EXPECT_EQ(half->text, "aa");
  // It is complete, though the end token is not allowed.
  const auto whole = ask("aab?", {'a'});
  EXPECT_EQ(whole->wait().reason, FinishReason::stop);
  EXPECT_EQ(whole->text, "aa");
}

TEST(GrammarCache, SharesAndForgets) {
  const auto tokenizer =
      Tokenizer::load(std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano");
  ASSERT_TRUE(tokenizer);
  GrammarCache cache(**tokenizer);
  const GrammarSource first = {GrammarKind::regex, "a+"};
  EXPECT_EQ(cache.find(first), nullptr);
  const auto compiled = cache.compile(first).value();
  EXPECT_EQ(cache.find(first), compiled);
  EXPECT_EQ(cache.compile(first).value(), compiled);
  // Another kind with the same text is another grammar.
  EXPECT_EQ(cache.find({GrammarKind::ebnf, "a+"}), nullptr);
  EXPECT_FALSE(cache.compile({GrammarKind::ebnf, "a+"}));
  for (size_t i = 0; i + 1 < GrammarCache::kMaxGrammars; ++i) {
    ASSERT_TRUE(cache.compile({GrammarKind::choice, "[\"" + std::to_string(i) + "\"]"}));
  }
  EXPECT_EQ(cache.find(first), compiled);  // now used last
  ASSERT_TRUE(cache.compile({GrammarKind::regex, "b"}));
  EXPECT_EQ(cache.find(first), compiled);
  EXPECT_EQ(cache.find({GrammarKind::choice, "[\"0\"]"}), nullptr);
  EXPECT_NE(cache.find({GrammarKind::choice, "[\"1\"]"}), nullptr);
}

TEST(GrammarCache, RefusesEachKindsMistakes) {
  const auto tokenizer =
      Tokenizer::load(std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano");
  GrammarCache cache(**tokenizer);
  for (const GrammarSource& source :
       {GrammarSource{GrammarKind::json_schema, R"({"not": {}})"},
        GrammarSource{GrammarKind::json_schema, "{"}, GrammarSource{GrammarKind::regex, "("},
        GrammarSource{GrammarKind::choice, "[1]"}, GrammarSource{GrammarKind::choice, "{}"},
        GrammarSource{GrammarKind::ebnf, "root ::= other"}}) {
    EXPECT_FALSE(cache.compile(source)) << source.text;
    EXPECT_EQ(cache.find(source), nullptr);
  }
}

}  // namespace
}  // namespace lotse
