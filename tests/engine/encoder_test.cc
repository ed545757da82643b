// Encoders on every device against PyTorch's hidden states, and served: bit by bit the same vectors
// whatever is beside a text.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "device/registry.h"
#include "engine/embedder.h"
#include "engine/score.h"
#include "tests/golden/encoders.h"

namespace lotse {
namespace {

using Case = std::tuple<const char*, const char*>;

class EncoderTest : public testing::TestWithParam<Case> {};

TEST_P(EncoderTest, HiddenStatesMatchPyTorch) {
  const auto [device, name] = GetParam();
  expect_hidden_states_of_texts(*open_device(device, {.threads = 2}).value(), name, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Devices, EncoderTest,
                         testing::Combine(testing::Values("reference", "cpu"),
                                          testing::Values("bert", "bert_masked", "roberta")),
                         [](const auto& instance) {
                           return std::string(std::get<0>(instance.param)) + "_" +
                                  std::get<1>(instance.param);
                         });

std::unique_ptr<ServingEngine> serve(const char* name, ServingOptions options = {}) {
  EngineOptions engine;
  engine.threads = 1;
  engine.max_sequences = options.max_sequences;
  options.max_queued = 10'000;
  return ServingEngine::start(Engine::open(kGolden / "encoders" / name, engine).value(), options);
}

TEST(ServedEncoder, PoolsTheMeanUnlessToldOtherwise) {
  const auto engine = serve("bert");
  EXPECT_FALSE(engine->engine().generates());
  EXPECT_EQ(engine->engine().embedding().pooling, Pooling::mean);
  for (const EncoderText& text : golden_texts(kGolden / "encoders/bert")) {
    const auto made = embed(*engine, {text.tokens}).value().front();
    std::vector<double> mean(made.size());
    for (size_t i = 0; i < text.hidden.size(); ++i) {
      mean[i % mean.size()] += static_cast<double>(text.hidden[i]);
    }
    double squares = 0;
    for (const double value : mean) squares += value * value;
    for (size_t k = 0; k < made.size(); ++k) {
      EXPECT_NEAR(static_cast<double>(made[k]), mean[k] / std::sqrt(squares), 1e-6);
    }
  }
}

TEST(ServedEncoder, NeighboursChangeNothing) {
  std::mt19937 random(3);
  std::vector<std::vector<int32_t>> texts(500);
  for (auto& text : texts) {
    text.resize(std::uniform_int_distribution<size_t>(1, 130)(random));
    for (int32_t& token : text) token = std::uniform_int_distribution<int32_t>(0, 96)(random);
  }
  const auto crowded = serve("bert", {.max_sequences = 9});
  const auto alone = serve("bert", {.max_sequences = 1});
  EXPECT_EQ(embed(*crowded, texts).value(), embed(*alone, texts).value());
  EXPECT_LT(crowded->stats().steps, 400);
  EXPECT_EQ(alone->stats().steps, 500);
  EXPECT_EQ(crowded->stats().prefix_hits, 0);
}

TEST(ServedEncoder, RefusesTextsThatAreTooLongAndToWrite) {
  const auto serving = serve("roberta");
  EXPECT_EQ(embed(*serving, {std::vector<int32_t>(131, 5)}).error().message,
            "the text has 131 tokens, and embeddings are of at most 130");
  EXPECT_TRUE(embed(*serving, {std::vector<int32_t>(130, 5)}));
  const auto engine = Engine::open(kGolden / "encoders/bert", {.threads = 1}).value();
  const auto session = engine->make_session();
  const std::vector<int32_t> prompt = {1, 2, 3};
  EXPECT_EQ(engine->generate(*session, prompt, {}, 4, [](int32_t) { return true; }).error().code,
            ErrorCode::unsupported);
  EXPECT_EQ(measure_perplexity(*engine, {prompt}, [](int64_t) {}).error().code,
            ErrorCode::unsupported);
}

Result<ModelConfig> with(const char* key, const Json& value, const char* type = "bert") {
  Json config = read_json_file((kGolden / "encoders" / type / "config.json").string()).value();
  config[key] = value;
  return read_model_config(config, "config.json");
}

TEST(EncoderConfig, RefusesWhatItLacks) {
  const auto message = [](const Result<ModelConfig>& result) {
    return result ? std::string() : result.error().message;
  };
  EXPECT_NE(message(with("position_embedding_type", "relative_key")).find("relative_key"),
            std::string::npos);
  EXPECT_NE(message(with("is_decoder", true)).find("is_decoder"), std::string::npos);
  EXPECT_NE(message(with("max_position_embeddings", 2, "roberta")).find("max_position_embeddings"),
            std::string::npos);
  EXPECT_NE(message(with("hidden_act", "relu")).find("relu"), std::string::npos);
  EXPECT_NE(message(with("num_key_value_heads", 1)), "");
  EXPECT_NE(message(with("head_dim", 32)), "");
  EXPECT_NE(message(with("type_vocab_size", 0)), "");
  EXPECT_NE(message(with("layer_norm_eps", -1)), "");
  EXPECT_EQ(with("max_position_embeddings", 3, "roberta").value().max_context, 1);
}

// Each field with values of every kind: an error, or a configuration whose program can be recorded.
TEST(EncoderConfig, TakesOrRefusesAnyValueOfAnyField) {
  const Json values = {nullptr,
                       true,
                       -1,
                       0,
                       1,
                       2,
                       3,
                       47,
                       1e9,
                       1e300,
                       -1.5,
                       "",
                       "x",
                       "gelu",
                       {1, 2},
                       Json::object(),
                       int64_t{1} << 40,
                       (int64_t{1} << 62),
                       0.5,
                       1024};
  int taken = 0;
  for (const char* type : {"bert", "roberta"}) {
    const Json config =
        read_json_file((kGolden / "encoders" / type / "config.json").string()).value();
    for (const auto& [key, ignored] : config.items()) {
      for (const Json& value : values) {
        const auto read = with(key.c_str(), value, type);
        if (!read || read->layers > 64) continue;
        EXPECT_TRUE(record_program(*read, read->max_context)) << key << ' ' << value;
        ++taken;
      }
    }
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace lotse
