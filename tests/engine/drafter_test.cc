// Drafts by a second model change how fast tokens come; which ones, only as far as their rule says.
#include "engine/drafter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>

#include "engine/model_drafter.h"
#include "engine/serving_engine.h"
#include "recorder.h"

namespace lotse {
namespace {

TEST(DraftLength, FollowsWhatCameTrue) {
  DraftLength length(8);
  EXPECT_EQ(length.next(), 8);
  length.note(8, 3);
  EXPECT_EQ(length.next(), 4);
  length.note(4, 4);
  EXPECT_EQ(length.next(), 8);
  length.note(8, 8);
  EXPECT_EQ(length.next(), 8);
  length.note(8, 0);
  EXPECT_EQ(length.next(), 1);
}

TEST(DraftLength, TriesLessAndLessWhereNothingComesTrue) {
  DraftLength length(4);
  std::vector<int64_t> attempts;
  for (int64_t step = 0; step < 100; ++step) {
    const int64_t next = length.next();
    if (next > 0) attempts.push_back(step);
    length.note(next, 0);
  }
  EXPECT_EQ(attempts, (std::vector<int64_t>{0, 1, 3, 6, 11, 20, 37, 54, 71, 88}));
  while (length.next() == 0) length.note(0, 0);
  length.note(1, 1);
  EXPECT_EQ(length.next(), 2);
}

std::filesystem::path golden(const char* model) {
  return std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden" / model;
}

class ModelDrafterTest : public testing::Test {
 protected:
  struct Setup {
    const char* draft = nullptr;  // of tests/golden; null: none
    DraftRule rule = DraftRule::seeded;
    int64_t max_sequences = 4;
    int64_t step_tokens = 512;
    int64_t cache_tokens = 4096;
  };

  static std::unique_ptr<ServingEngine> start(const Setup& setup) {
    EngineOptions engine;
    engine.threads = 1;
    engine.context = 256;
    engine.max_sequences = setup.max_sequences;
    engine.cache_tokens = setup.cache_tokens;
    ServingOptions serving;
    serving.max_sequences = setup.max_sequences;
    serving.step_tokens = setup.step_tokens;
    serving.max_queued = 100'000;
    serving.draft_rule = setup.rule;
    if (setup.draft == nullptr) {
      return ServingEngine::start(Engine::open(golden("qwen3"), engine).value(), serving);
    }
    serving.draft_tokens = 4;
    auto models = open_with_draft(golden("qwen3"), golden(setup.draft), engine).value();
    return ServingEngine::start(std::move(models.target), serving,
                                make_model_drafter(std::move(models.draft), setup.rule, true));
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  std::vector<int32_t> random_prompt(int64_t most) {
    std::vector<int32_t> prompt(static_cast<size_t>(pick(1, most)));
    for (int32_t& token : prompt) token = static_cast<int32_t>(pick(0, 127));
    return prompt;
  }

  // Any of what a request may say about tokens.
  static GenerationRequest request(std::vector<int32_t> prompt, int64_t max_tokens, int kind) {
    GenerationRequest asked;
    asked.prompt = std::move(prompt);
    asked.max_tokens = max_tokens;
    asked.ignore_eos = kind % 2 == 0;
    asked.top_logprobs = 2;
    asked.sampling.seed = static_cast<uint64_t>(kind);
    asked.sampling.temperature = kind % 3 == 0 ? 0.0F : 0.8F;
    if (kind % 4 == 1) asked.sampling.repetition_penalty = 1.3F;
    if (kind % 4 == 2) asked.sampling.frequency_penalty = 0.5F;
    if (kind % 5 == 1) asked.sampling.top_p = 0.8F;
    if (kind % 5 == 2) asked.sampling.top_k = 5;
    if (kind % 7 == 1) asked.allowed_tokens = {3, 4, 5};
    if (kind % 7 == 2) asked.logit_bias = {{7, 3.0F}, {8, 2.5F}};
    if (kind % 7 == 3) asked.stop_tokens = {9, 10, 11, 12};
    if (kind % 7 == 3) asked.min_tokens = 5;
    return asked;
  }

  // Asks both engines the same, many things at once, and expects the same answers.
  void expect_same(ServingEngine& drafting, ServingEngine& plain, int requests) {
    std::vector<std::vector<int32_t>> prompts;
    std::vector<std::shared_ptr<Recorder>> expected;
    std::vector<std::shared_ptr<Recorder>> seen;
    for (int i = 0; i < requests; ++i) {
      std::vector<int32_t> prompt = random_prompt(70);
      if (i % 2 == 1) {  // begins like an earlier one
        const auto& before = prompts[static_cast<size_t>(pick(0, i - 1))];
        prompt.insert(prompt.begin(), before.begin(), before.end());
        if (prompt.size() > 200) prompt.resize(200);
      }
      prompts.push_back(prompt);
      const int64_t length = pick(1, 60);
      for (auto* side : {&seen, &expected}) {
        ServingEngine& engine = side == &seen ? drafting : plain;
        side->push_back(std::make_shared<Recorder>());
        const auto id = engine.submit(request(prompt, length, i), side->back());
        ASSERT_TRUE(id);
      }
    }
    for (size_t i = 0; i < seen.size(); ++i) {
      EXPECT_EQ(seen[i]->wait().reason, expected[i]->wait().reason) << i;
      EXPECT_EQ(seen[i]->tokens, expected[i]->tokens) << i;
      EXPECT_EQ(seen[i]->logprobs, expected[i]->logprobs) << i;
    }
  }

  std::mt19937 random_{9};
};

// Whatever happens to a sequence: its prompt computed in parts, its beginning found in a cache,
// its place lost to another.
TEST_F(ModelDrafterTest, ChangesNoAnswerUnderTheSeededRule) {
  const auto plain = start({});
  for (const char* draft : {"qwen3", "llama"}) {
    const auto drafting = start({.draft = draft, .step_tokens = 24, .cache_tokens = 320});
    expect_same(*drafting, *plain, 300);
    drafting->drain();
    const ServingStats stats = drafting->stats();
    EXPECT_EQ(stats.draft_source, "model");
    EXPECT_GT(stats.accepted_tokens, 0);
    EXPECT_GT(stats.preemptions, 0);
    EXPECT_GT(stats.prefix_hits, 0);
    EXPECT_EQ(stats.free_blocks, stats.total_blocks);
  }
}

// With a draft model that is the model itself, under the same random numbers, every guess is right:
// the two stay in step.
TEST_F(ModelDrafterTest, AModelGuessesItself) {
  const auto drafting = start({.draft = "qwen3"});
  for (int i = 0; i < 40; ++i) {
    GenerationRequest asked = request(random_prompt(100), 60, i);
    asked.stop_tokens.clear();
    asked.ignore_eos = true;
    const auto sink = std::make_shared<Recorder>();
    ASSERT_TRUE(drafting->submit(std::move(asked), sink));
    sink->wait();
  }
  drafting->drain();
  const ServingStats stats = drafting->stats();
  EXPECT_EQ(stats.accepted_tokens, stats.drafted_tokens);
  EXPECT_LT(stats.steps, stats.generated_tokens / 3);
}

TEST_F(ModelDrafterTest, CancelledSequencesAreForgotten) {
  const auto drafting = start({.draft = "llama", .cache_tokens = 600});
  const auto plain = start({});
  std::vector<RequestId> ids;
  std::vector<std::shared_ptr<Recorder>> sinks;
  for (int i = 0; i < 60; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    GenerationRequest asked = request(random_prompt(100), 150, 2 * i);
    ids.push_back(drafting->submit(std::move(asked), sinks.back()).value());
  }
  for (size_t i = 0; i < ids.size(); i += 2) {
    sinks[i]->wait_for_tokens(5);
    drafting->cancel(ids[i]);
  }
  for (const auto& sink : sinks) sink->wait();
  expect_same(*drafting, *plain, 40);  // there is room for more, and it holds nothing wrong
}

TEST_F(ModelDrafterTest, RefusesAnotherVocabulary) {
  EngineOptions options;
  options.context = 64;
  const std::filesystem::path nano = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";
  EXPECT_EQ(open_with_draft(golden("qwen3"), nano, options).error().message,
            "the draft model has a vocabulary of 2048 tokens and the model one of 128: a draft "
            "model must have the same tokens");
}

TEST_F(ModelDrafterTest, IsCountedInTheMemoryPlan) {
  EngineOptions options;
  options.context = 64;
  const auto alone = Engine::open(golden("qwen3"), options).value();
  const auto draft = Engine::open(golden("llama"), options).value();
  const auto both = open_with_draft(golden("qwen3"), golden("llama"), options).value();
  const MemoryNeeds& needs = both.target->memory_plan().needs;
  EXPECT_EQ(needs.weights, alone->memory_plan().needs.weights);
  EXPECT_EQ(needs.draft_weights, draft->memory_plan().needs.weights);
  EXPECT_EQ(needs.position_bytes,
            alone->memory_plan().needs.position_bytes + draft->memory_plan().needs.position_bytes);
  EXPECT_NE(both.target->memory_plan().text().find("of the draft model's"), std::string::npos);
}

// Of two samples of the same size: Σ (a − b)² / (a + b), which follows chi-squared where both are
// of one distribution; in standard deviations from its mean.
double distance(const std::map<std::vector<int32_t>, int>& a,
                const std::map<std::vector<int32_t>, int>& b) {
  std::map<std::vector<int32_t>, std::pair<int, int>> cells;
  for (const auto& [answer, count] : a) cells[answer].first = count;
  for (const auto& [answer, count] : b) cells[answer].second = count;
  double sum = 0;
  std::pair<double, double> rare;  // answers too rare to count alone
  double degrees = -1;
  const auto add = [&](double one, double other) {
    sum += (one - other) * (one - other) / (one + other);
    ++degrees;
  };
  for (const auto& [answer, counts] : cells) {
    if (counts.first + counts.second >= 10) {
      add(counts.first, counts.second);
    } else {
      rare.first += counts.first;
      rare.second += counts.second;
    }
  }
  if (rare.first + rare.second > 0) add(rare.first, rare.second);
  return (sum - degrees) / std::sqrt(2 * std::max(degrees, 1.0));
}

class RejectionTest : public ModelDrafterTest {
 protected:
  using Counts = std::map<std::vector<int32_t>, int>;

  static Counts answers(ServingEngine& engine, int kind, uint64_t first_seed) {
    constexpr int kAnswers = 2000;
    std::vector<std::shared_ptr<Recorder>> sinks;
    for (int i = 0; i < kAnswers; ++i) {
      GenerationRequest asked = options(kind);
      asked.sampling.seed = first_seed + static_cast<uint64_t>(i);
      sinks.push_back(std::make_shared<Recorder>());
      EXPECT_TRUE(engine.submit(std::move(asked), sinks.back()));
    }
    Counts counts;
    for (const auto& sink : sinks) {
      sink->wait();
      ++counts[sink->tokens];
    }
    return counts;
  }

  static GenerationRequest options(int kind) {
    GenerationRequest asked;
    asked.prompt = {17, 3, 99, 64};
    asked.max_tokens = 5;
    asked.ignore_eos = true;
    asked.allowed_tokens = {3, 50, 90};
    SamplingParams& s = asked.sampling;
    s.temperature = 1.2F;
    switch (kind) {
      case 0:
        break;
      case 1:
        s.top_k = 2;
        break;
      case 2:
        s.top_p = 0.7F;
        break;
      case 3:
        s.min_p = 0.4F;
        break;
      case 4:
        s.typical_p = 0.6F;
        break;
      case 5:
        s.repetition_penalty = 1.5F;
        s.presence_penalty = 0.4F;
        break;
      case 6:
        asked.logit_bias = {{3, 1.5F}};
        asked.stop_tokens = {50};
        break;
      default:
        asked.stop_tokens = {90};
        asked.min_tokens = 3;
        break;
    }
    return asked;
  }
};

// Answers are distributed as without drafts, for all sampling options, while many a guess is wrong.
TEST_F(RejectionTest, KeepsTheDistribution) {
  const auto plain = start({.max_sequences = 3});
  const auto drafting = start({.draft = "llama", .rule = DraftRule::rejection, .max_sequences = 3});
  for (int kind = 0; kind < 8; ++kind) {
    const Counts expected = answers(*plain, kind, 1);
    const Counts seen = answers(*drafting, kind, 1'000'001);
    EXPECT_GT(seen.size(), 3u);
    EXPECT_LT(distance(seen, expected), 4) << kind;
  }
  const ServingStats stats = drafting->stats();
  EXPECT_GT(stats.accepted_tokens, stats.drafted_tokens / 4);
  EXPECT_LT(stats.accepted_tokens, stats.drafted_tokens);
}

TEST_F(RejectionTest, IsGreedyAtTemperatureZero) {
  const auto plain = start({});
  const auto drafting = start({.draft = "llama", .rule = DraftRule::rejection});
  for (int i = 0; i < 60; ++i) {
    const std::vector<int32_t> prompt = random_prompt(40);
    std::vector<std::shared_ptr<Recorder>> sinks;
    for (ServingEngine* engine : {plain.get(), drafting.get()}) {
      sinks.push_back(std::make_shared<Recorder>());
      ASSERT_TRUE(engine->submit(request(prompt, 40, 3 * i), sinks.back()));
      sinks.back()->wait();
    }
    EXPECT_EQ(sinks[0]->tokens, sinks[1]->tokens) << i;
  }
}

}  // namespace
}  // namespace lotse
