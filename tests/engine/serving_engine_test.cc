// Many requests at once against the same requests one by one, to the last bit.
#include "engine/serving_engine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <random>

#include "engine/prompt_lookup.h"
#include "recorder.h"

namespace lotse {
namespace {

class ServingEngineTest : public testing::Test {
 protected:
  std::unique_ptr<ServingEngine> start(ServingOptions options = {}, int64_t cache_tokens = 4096,
                                       const char* model = "qwen3",
                                       std::optional<DType> cache_type = std::nullopt) {
    EngineOptions engine;
    engine.cache_type = cache_type;
    engine.threads = 1;
    engine.context = 256;
    engine.max_sequences = options.max_sequences;
    engine.cache_tokens = cache_tokens;
    const auto folder = std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden" / model;
    return ServingEngine::start(Engine::open(folder, engine).value(), options);
  }

  GenerationRequest request(std::vector<int32_t> prompt, int64_t max_tokens) {
    GenerationRequest asked;
    asked.prompt = std::move(prompt);
    asked.max_tokens = max_tokens;
    asked.ignore_eos = true;
    asked.top_logprobs = 2;
    return asked;
  }

  std::vector<int32_t> random_prompt(int64_t most) {
    std::vector<int32_t> prompt(static_cast<size_t>(pick(1, most)));
    for (int32_t& token : prompt) token = static_cast<int32_t>(pick(0, 127));
    return prompt;
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  void expect_no_influence(std::optional<DType> cache_type, int trials);

  std::mt19937 random_{5};
};

// The same request gives the same tokens and bitwise the same log-probabilities whatever else is in
// the batch, however its prompt is cut, and whether its beginning was cached or not.
void ServingEngineTest::expect_no_influence(std::optional<DType> cache_type, int trials) {
  ServingOptions alone;
  alone.max_sequences = 1;
  alone.prefix_cache = false;
  const auto single = start(alone, 4096, "qwen3", cache_type);
  ServingOptions crowded;
  crowded.max_sequences = 6;
  crowded.step_tokens = 24;
  crowded.max_queued = 1000;
  // Few blocks: some requests are preempted.
  const auto busy = start(crowded, 700, "qwen3", cache_type);
  std::vector<GenerationRequest> asked;
  std::vector<std::shared_ptr<Recorder>> many;
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < trials; ++i) {
    // Half of the prompts begin like an earlier one.
    std::vector<int32_t> prompt = random_prompt(80);
    if (i > 4 && i % 2 == 0) {
      std::vector<int32_t> before = prompts[static_cast<size_t>(pick(0, i - 1))];
      prompt.insert(prompt.begin(), before.begin(), before.end());
      if (prompt.size() > 200) prompt.resize(200);
    }
    prompts.push_back(prompt);
    GenerationRequest one = request(prompt, pick(1, 30));
    one.sampling.temperature = i % 3 == 0 ? 0.0f : 1.5f;
    one.sampling.seed = static_cast<uint64_t>(i);
    if (i % 7 == 0) one.prompt_logprobs = 1;
    GenerationRequest again = request(prompt, one.max_tokens);
    again.sampling = one.sampling;
    again.prompt_logprobs = one.prompt_logprobs;
    asked.push_back(std::move(again));
    many.push_back(std::make_shared<Recorder>());
    ASSERT_TRUE(busy->submit(std::move(one), many.back()));
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto expected = std::make_shared<Recorder>();
    ASSERT_TRUE(single->submit(std::move(asked[i]), expected));
    EXPECT_EQ(expected->wait().reason, FinishReason::length);
    EXPECT_EQ(many[i]->wait().reason, FinishReason::length);
    EXPECT_EQ(many[i]->tokens, expected->tokens) << i;
    EXPECT_EQ(many[i]->logprobs, expected->logprobs) << i;
    ASSERT_EQ(many[i]->prompt.size(), i % 7 == 0 ? prompts[i].size() - 1 : 0);
    for (size_t k = 0; k < expected->prompt.size(); ++k) {
      EXPECT_EQ(many[i]->prompt[k].logprob, expected->prompt[k].logprob);
    }
  }
  busy->drain();
  const ServingStats stats = busy->stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_GT(stats.prefix_hits, 0);
  EXPECT_EQ(stats.free_blocks, stats.total_blocks);
  EXPECT_EQ(stats.running + stats.waiting, 0);
}

TEST_F(ServingEngineTest, NeighboursChangeNothing) { expect_no_influence(std::nullopt, 1000); }

TEST_F(ServingEngineTest, NeighboursChangeNothingInAnInt8Cache) {
  expect_no_influence(DType::i8, 300);
}

TEST_F(ServingEngineTest, AnInt8CacheIsPlannedFor) {
  const auto folder = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";
  const auto position_bytes = [&](std::optional<DType> type) {
    EngineOptions options;
    options.context = 64;
    options.cache_type = type;
    return Engine::open(folder, options).value()->memory_plan().needs.position_bytes;
  };
  // 4 layers, 2 heads of 64, keys and values.
  EXPECT_EQ(position_bytes(std::nullopt), 4 * 2 * 2 * 64 * 2);
  EXPECT_EQ(position_bytes(DType::i8), 4 * 2 * 2 * (64 + 4));
}

// Guesses change how fast tokens come, never which: greedy or drawn, alone or with others.
TEST_F(ServingEngineTest, DraftsChangeNothing) {
  ServingOptions drafting;
  drafting.max_sequences = 3;
  drafting.draft_tokens = 6;
  const auto guessing = start(drafting, 700);
  const auto plain = start();
  for (int i = 0; i < 120; ++i) {
    // Repetitions, so that there is something to look up.
    std::vector<int32_t> prompt = random_prompt(12);
    const std::vector<int32_t> once = prompt;
    for (int k = 0; k < 3; ++k) prompt.insert(prompt.end(), once.begin(), once.end());
    std::vector<std::shared_ptr<Recorder>> sinks;
    for (ServingEngine* engine : {guessing.get(), plain.get()}) {
      GenerationRequest one = request(prompt, 60);
      one.sampling.temperature = i % 2 == 0 ? 0.0f : 0.3f;
      one.sampling.seed = static_cast<uint64_t>(i);
      if (i % 3 == 0) {
        one.allowed_tokens = {1, 2, 3, 4};  // few choices: guesses often come true
      }
      sinks.push_back(std::make_shared<Recorder>());
      ASSERT_TRUE(engine->submit(std::move(one), sinks.back()));
    }
    sinks[1]->wait();
    EXPECT_EQ(sinks[0]->wait().reason, sinks[1]->wait().reason);
    EXPECT_EQ(sinks[0]->tokens, sinks[1]->tokens) << i;
    EXPECT_EQ(sinks[0]->logprobs, sinks[1]->logprobs) << i;
  }
  guessing->drain();
  const ServingStats stats = guessing->stats();
  EXPECT_GT(stats.accepted_tokens, 100);
  EXPECT_GT(stats.drafted_tokens, stats.accepted_tokens);
  EXPECT_LT(stats.steps, stats.generated_tokens);
  EXPECT_EQ(stats.free_blocks, stats.total_blocks);
}

TEST(Draft, ContinuesTheNearestRepetition) {
  const auto look_up = [](std::vector<int32_t> tokens, int64_t most) {
    return look_up_draft(tokens, most);
  };
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(look_up({1, 2, 3, 4, 5, 1, 2, 3}, 2), (Tokens{4, 5}));
  EXPECT_EQ(look_up({1, 2, 3, 9, 2, 3, 8, 1, 2, 3}, 1), (Tokens{9}));  // three before two
  EXPECT_EQ(look_up({2, 3, 9, 2, 3, 8, 7, 2, 3}, 1), (Tokens{8}));     // the nearest
  EXPECT_EQ(look_up({5, 5, 5, 5}, 4), (Tokens{5}));
  EXPECT_EQ(look_up({1, 2, 3}, 4), Tokens{});
  EXPECT_EQ(look_up({}, 4), Tokens{});
  EXPECT_EQ(look_up({1, 2, 1, 2}, 0), Tokens{});
}

TEST_F(ServingEngineTest, ReportsWhatThePrefixCacheSaved) {
  const auto engine = start();
  const int64_t block = engine->engine().limits().block_tokens;
  std::vector<int32_t> prompt(static_cast<size_t>(block + 9), 3);
  const auto ask = [&](const char* salt) {
    const auto sink = std::make_shared<Recorder>();
    GenerationRequest one = request(prompt, 2);
    one.cache_salt = salt;
    EXPECT_TRUE(engine->submit(std::move(one), sink));
    return sink->wait().cached_tokens;
  };
  EXPECT_EQ(ask("a"), 0);
  EXPECT_EQ(ask("a"), block);
  EXPECT_EQ(ask("b"), 0) << "a tenant saw another's cache";
}

// Whoever hears of its end finds its request in the statistics, and nothing of it running.
TEST_F(ServingEngineTest, StatisticsComeBeforeTheEnd) {
  class Auditor final : public RequestSink {
   public:
    explicit Auditor(const ServingEngine& audited) : engine_(audited) {}
    bool on_token(const GeneratedToken&) override { return true; }
    void on_end(const RequestOutcome&) override { stats.set_value(engine_.stats()); }
    std::promise<ServingStats> stats;

   private:
    const ServingEngine& engine_;
  };
  const auto engine = start();
  for (int64_t i = 1; i <= 20; ++i) {
    const auto auditor = std::make_shared<Auditor>(*engine);
    ASSERT_TRUE(engine->submit(request({1, 2, 3}, 5), auditor));
    const ServingStats stats = auditor->stats.get_future().get();
    EXPECT_EQ(stats.prompt_tokens, 3 * i);
    EXPECT_EQ(stats.generated_tokens, 5 * i);
    EXPECT_EQ(stats.running + stats.waiting, 0);
    EXPECT_EQ(stats.free_blocks, stats.total_blocks);
  }
}

TEST_F(ServingEngineTest, CancelledRequestsGiveEverythingBack) {
  ServingOptions options;
  options.max_sequences = 4;
  const auto engine = start(options);
  std::vector<std::shared_ptr<Recorder>> sinks;
  std::vector<RequestId> ids;
  for (int i = 0; i < 30; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    ids.push_back(engine->submit(request(random_prompt(100), 150), sinks.back()).value());
  }
  sinks[0]->wait_for_tokens(3);
  for (const RequestId id : ids) engine->cancel(id);
  engine->cancel(123456);  // unknown
  for (const auto& sink : sinks) {
    const FinishReason reason = sink->wait().reason;
    EXPECT_TRUE(reason == FinishReason::cancelled || reason == FinishReason::length);
  }
  engine->drain();
  EXPECT_EQ(engine->stats().free_blocks, engine->stats().total_blocks);
  EXPECT_EQ(engine->submit(request({1}, 1), sinks[0]).error().code, ErrorCode::cancelled);
}

TEST_F(ServingEngineTest, EndsForEachOfItsReasons) {
  const auto engine = start();
  const auto plain = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(request({5, 6, 7}, 20), plain));
  plain->wait();

  const auto stopped = std::make_shared<Recorder>(4);  // by the sink
  ASSERT_TRUE(engine->submit(request({5, 6, 7}, 20), stopped));
  EXPECT_EQ(stopped->wait().reason, FinishReason::stop);
  EXPECT_EQ(stopped->tokens.size(), 4u);

  GenerationRequest by_token = request({5, 6, 7}, 20);
  by_token.stop_tokens = {plain->tokens[2]};
  const auto ended = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(std::move(by_token), ended));
  EXPECT_EQ(ended->wait().stop_token, plain->tokens[2]);
  EXPECT_LE(ended->tokens.size(), 2u);

  GenerationRequest late = request({5, 6, 7}, 200);
  late.deadline = std::chrono::steady_clock::now();
  const auto expired = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(std::move(late), expired));
  EXPECT_EQ(expired->wait().reason, FinishReason::deadline);

  const auto full = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(request(std::vector<int32_t>(250, 1), 100), full));
  EXPECT_EQ(full->wait().reason, FinishReason::length);
  EXPECT_EQ(full->tokens.size(), 6u);  // to the end of the context of 256
}

TEST_F(ServingEngineTest, HonoursBiasAllowedTokensAndMinimumLength) {
  const auto engine = start();
  GenerationRequest biased = request({1, 2, 3}, 5);
  biased.logit_bias = {{42, 1000.0f}};
  const auto sink = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(std::move(biased), sink));
  sink->wait();
  EXPECT_EQ(sink->tokens, std::vector<int32_t>(5, 42));

  GenerationRequest narrow = request({1, 2, 3}, 8);
  narrow.allowed_tokens = {9, 11};
  narrow.sampling.temperature = 5;
  const auto few = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(std::move(narrow), few));
  few->wait();
  for (const int32_t token : few->tokens) EXPECT_TRUE(token == 9 || token == 11);

  GenerationRequest early = request({1, 2, 3}, 8);
  early.logit_bias = {{42, 1000.0f}, {43, 900.0f}};
  early.stop_tokens = {42};
  early.min_tokens = 3;
  const auto patient = std::make_shared<Recorder>();
  ASSERT_TRUE(engine->submit(std::move(early), patient));
  EXPECT_EQ(patient->wait().stop_token, 42);
  EXPECT_EQ(patient->tokens, std::vector<int32_t>(3, 43));
}

TEST_F(ServingEngineTest, RefusesWhatCannotBeServed) {
  ServingOptions options;
  options.max_sequences = 1;
  options.max_queued = 2;
  const auto engine = start(options);
  const auto refusal = [&](GenerationRequest one) {
    const auto sink = std::make_shared<Recorder>();
    const auto id = engine->submit(std::move(one), sink);
    if (id) sink->wait();
    return id ? std::string() : id.error().message;
  };
  EXPECT_EQ(refusal(request({}, 1)), "the prompt has no tokens");
  EXPECT_EQ(refusal(request(std::vector<int32_t>(300, 1), 1)),
            "the prompt has 300 tokens, and the context of 256 must hold it and an answer");
  EXPECT_EQ(refusal(request({1, -1}, 1)),
            "token -1 of the prompt is outside the vocabulary of 128");
  GenerationRequest biased = request({1}, 1);
  biased.logit_bias = {{128, 1.0f}};
  EXPECT_EQ(refusal(std::move(biased)),
            "token 128 of the logit bias is outside the vocabulary of 128");

  std::vector<std::shared_ptr<Recorder>> sinks;
  int refused = 0;
  for (int i = 0; i < 8; ++i) {
    sinks.push_back(std::make_shared<Recorder>());
    const auto id = engine->submit(request({1, 2}, 200), sinks.back());
    if (id) continue;
    ++refused;
    EXPECT_EQ(id.error().code, ErrorCode::limit);
    sinks.pop_back();
  }
  EXPECT_GE(refused, 5);
  for (const auto& sink : sinks) EXPECT_EQ(sink->wait().reason, FinishReason::length);
}

}  // namespace
}  // namespace lotse
