// Embeddings beside generation: the vectors that PyTorch's hidden states make, bit by bit the same
// whatever is computed beside them and however a text is cut into steps.
#include "engine/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>

#include "engine/embedder.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

class Ended final : public RequestSink {
 public:
  void on_embedding(std::vector<float> made) override { embedding = std::move(made); }
  bool on_token(const GeneratedToken&) override {
    ++tokens;
    return true;
  }
  void on_end(const RequestOutcome& made) override {
    const std::scoped_lock lock(mutex_);
    outcome = made;
    changed_.notify_all();
  }
  const RequestOutcome& wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [this] { return outcome.has_value(); }));
    return *outcome;
  }

  std::vector<float> embedding;
  int tokens = 0;
  std::optional<RequestOutcome> outcome;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Setting {
  ServingOptions serving = {};
  int64_t cache_tokens = 4096;
  std::optional<Pooling> pooling = {};
  const char* model = "qwen3";
};

std::unique_ptr<ServingEngine> start(const Setting& setting) {
  EngineOptions options;
  options.threads = 1;
  options.context = 256;
  options.max_outputs = 7;
  options.max_sequences = setting.serving.max_sequences;
  options.cache_tokens = setting.cache_tokens;
  options.pooling = setting.pooling;
  return ServingEngine::start(Engine::open(kGolden / setting.model, options).value(),
                              setting.serving);
}

GenerationRequest embedding_of(std::vector<int32_t> tokens, Pooling pooling) {
  GenerationRequest request;
  request.prompt = std::move(tokens);
  request.pooling = pooling;
  return request;
}

std::vector<double> pooled(const Golden& golden, Pooling pooling) {
  const size_t tokens = golden.prompt.size();
  const size_t width = golden.norm.size() / tokens;
  std::vector<double> sum(width);
  for (size_t t = 0; t < tokens; ++t) {
    const bool counts = pooling == Pooling::mean || t == (pooling == Pooling::cls ? 0 : tokens - 1);
    for (size_t k = 0; counts && k < width; ++k) {
      sum[k] += static_cast<double>(golden.norm[t * width + k]);
    }
  }
  if (pooling == Pooling::mean) {
    for (double& value : sum) value /= static_cast<double>(tokens);
  }
  return sum;
}

TEST(Embedding, IsPooledFromPyTorchsHiddenStates) {
  for (const char* model : {"qwen3", "llama", "gemma3", "qwen3_moe"}) {
    const Golden golden = read_golden(kGolden / model / "golden.safetensors");
    for (const Pooling pooling : {Pooling::last, Pooling::mean, Pooling::cls}) {
      const auto engine = start({.pooling = pooling, .model = model});
      const auto made = embed(*engine, {golden.prompt}).value().front();
      const std::vector<double> expected = pooled(golden, pooling);
      double squares = 0;
      for (const double value : expected) squares += value * value;
      ASSERT_EQ(made.size(), expected.size());
      for (size_t k = 0; k < made.size(); ++k) {
        EXPECT_NEAR(static_cast<double>(made[k]), expected[k] / std::sqrt(squares), 1e-5)
            << model << ' ' << name(pooling) << ' ' << k;
      }
    }
  }
}

TEST(Embedding, NeighboursAndCutsChangeNothing) {
  ServingOptions alone;
  alone.max_sequences = 1;
  alone.prefix_cache = false;
  const auto single = start({.serving = alone});
  ServingOptions crowded;
  crowded.max_sequences = 6;
  crowded.step_tokens = 24;
  crowded.max_queued = 1000;
  crowded.draft_tokens = 4;
  const auto busy = start({.serving = crowded, .cache_tokens = 320});  // some are preempted
  std::mt19937 random(7);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  std::vector<GenerationRequest> again;
  std::vector<std::shared_ptr<Ended>> many;
  std::vector<std::shared_ptr<Ended>> writers;
  for (int i = 0; i < 400; ++i) {
    std::vector<int32_t> tokens(static_cast<size_t>(pick(1, i % 3 == 0 ? 250 : 60)));
    for (int32_t& token : tokens) token = static_cast<int32_t>(pick(0, 30));
    GenerationRequest request;
    if (i % 4 == 3) {
      request.prompt = tokens;
      request.max_tokens = pick(20, 120);
      request.ignore_eos = true;
    } else {
      constexpr Pooling kAll[] = {Pooling::last, Pooling::mean, Pooling::cls};
      request = embedding_of(tokens, kAll[i % 3]);
      again.push_back(embedding_of(tokens, kAll[i % 3]));
    }
    const auto sink = std::make_shared<Ended>();
    (request.pooling ? many : writers).push_back(sink);
    ASSERT_TRUE(busy->submit(std::move(request), sink));
  }
  for (size_t i = 0; i < again.size(); ++i) {
    const auto length = std::ssize(again[i].prompt);
    const auto expected = std::make_shared<Ended>();
    ASSERT_TRUE(single->submit(std::move(again[i]), expected));
    EXPECT_EQ(expected->wait().reason, FinishReason::stop);
    const RequestOutcome& outcome = many[i]->wait();
    EXPECT_EQ(outcome.reason, FinishReason::stop);
    EXPECT_EQ(outcome.prompt_tokens, length);
    EXPECT_EQ(outcome.generated_tokens, 0);
    EXPECT_EQ(many[i]->tokens, 0);
    EXPECT_EQ(many[i]->embedding, expected->embedding) << i;
  }
  for (const auto& writer : writers) EXPECT_EQ(writer->wait().reason, FinishReason::length);
  const ServingStats stats = busy->stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.free_blocks, stats.total_blocks);
}

// A long list of texts does not hold up who generates: their tokens come while texts wait.
TEST(Embedding, LetsOthersGenerateMeanwhile) {
  ServingOptions options;
  options.max_sequences = 4;
  options.step_tokens = 32;
  options.max_queued = 1000;
  const auto engine = start({.serving = options});
  const auto writer = std::make_shared<Ended>();
  GenerationRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 20;
  request.ignore_eos = true;
  ASSERT_TRUE(engine->submit(std::move(request), writer));
  std::vector<std::shared_ptr<Ended>> texts;
  for (int i = 0; i < 300; ++i) {
    texts.push_back(std::make_shared<Ended>());
    const std::vector<int32_t> tokens(200, 5);
    ASSERT_TRUE(engine->submit(embedding_of(tokens, Pooling::mean), texts.back()));
  }
  EXPECT_EQ(writer->wait().reason, FinishReason::length);
  EXPECT_FALSE(
      std::ranges::all_of(texts, [](const auto& text) { return text->outcome.has_value(); }));
  for (const auto& text : texts) text->wait();
}

TEST(Embedding, RefusesWhatDoesNotFit) {
  const auto engine = start({});
  const auto sink = std::make_shared<Ended>();
  const auto submit = [&](std::vector<int32_t> tokens) {
    return engine->submit(embedding_of(std::move(tokens), Pooling::last), sink);
  };
  EXPECT_EQ(submit({}).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(submit({1, 4000}).error().message,
            "token 4000 of the text is outside the vocabulary of 128");
  EXPECT_EQ(submit({-1}).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(submit(std::vector<int32_t>(257, 1)).error().message,
            "the text has 257 tokens, and embeddings are of at most 256");
  // No answer needs room.
  ASSERT_TRUE(submit(std::vector<int32_t>(256, 1)));
  EXPECT_EQ(sink->wait().reason, FinishReason::stop);
}

// The cache is as long as the text.
TEST(Embedding, FillsTheWholeCache) {
  EngineOptions options;
  options.threads = 1;
  options.context = 64;
  const auto engine =
      ServingEngine::start(Engine::open(kGolden / "qwen3", options).value(), {.max_sequences = 1});
  EXPECT_TRUE(embed(*engine, {std::vector<int32_t>(64, 3), std::vector<int32_t>(64, 4)}));
}

// "Qwen3Model" instead of "Qwen3ForCausalLM", without a head, names without "model.".
TEST(Embedding, TakesCheckpointsWithoutAHead) {
  const fs::path original = kGolden / "llama";
  const fs::path folder = fs::path(testing::TempDir()) / "headless_llama";
  fs::create_directories(folder);
  Json config = read_json_file((original / "config.json").string()).value();
  config["architectures"] = {"LlamaModel"};
  std::ofstream(folder / "config.json") << config.dump();
  fs::copy_file(original / "model.safetensors", folder / "model.safetensors",
                fs::copy_options::overwrite_existing);
  const auto serving =
      ServingEngine::start(Engine::open(folder, {.threads = 1, .context = 64}).value(), {});
  EXPECT_FALSE(serving->engine().generates());
  const auto with_head = start({.model = "llama"});
  EXPECT_EQ(embed(*serving, {{1, 2, 3, 4}}).value(), embed(*with_head, {{1, 2, 3, 4}}).value());
  GenerationRequest request;
  request.prompt = {1, 2};
  const auto refused = serving->submit(std::move(request), std::make_shared<Ended>());
  EXPECT_EQ(refused.error().message, no_logits().message);
  fs::remove_all(folder);
}

TEST(Embedding, IsCutAndScaledToLengthOne) {
  std::vector<float> embedding = {3, 4, 12};
  finish_embedding(embedding, 2, true);
  EXPECT_EQ(embedding, (std::vector<float>{0.6F, 0.8F}));
  embedding = {3, 4, 12};
  finish_embedding(embedding, 3, false);
  EXPECT_EQ(embedding, (std::vector<float>{3, 4, 12}));
  embedding = {0, 0};
  finish_embedding(embedding, 2, true);
  EXPECT_EQ(embedding, (std::vector<float>{0, 0}));
}

// Parts may overlap: a sequence that was preempted is computed again from its beginning.
TEST(Embedding, PoolsEveryTokenOnce) {
  EmbeddingPool mean(Pooling::mean, 1);
  mean.add(0, std::vector<float>{1, 2});
  mean.add(0, std::vector<float>{1});
  mean.add(1, std::vector<float>{2, 6});
  EXPECT_EQ(mean.result(), std::vector<float>{3});
  EmbeddingPool cls(Pooling::cls, 1);
  cls.add(0, std::vector<float>{1, 2});
  cls.add(0, std::vector<float>{1, 2, 3});
  EXPECT_EQ(cls.result(), std::vector<float>{1});
}

}  // namespace
}  // namespace lotse
