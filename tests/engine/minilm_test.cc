// The real all-MiniLM-L6-v2 against what PyTorch and Hugging Face's tokenizer make of it
// (tools/golden_minilm.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/json.h"
#include "engine/embedder.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

TEST(MiniLm, TokensAndSimilaritiesAreThoseOfTheOriginal) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  const fs::path folder = fs::path(data == nullptr ? "" : data) / "models/all-minilm-l6-v2";
  if (!fs::exists(folder)) {
    GTEST_SKIP() << "not run: needs models/all-minilm-l6-v2 in the folder LOTSE_TEST_DATA";
  }
  const Json golden =
      read_json_file((fs::path(LOTSE_SOURCE_DIR) / "tests/engine/minilm.json").string()).value();
  const auto serving = ServingEngine::start(Engine::open(folder, {.max_sequences = 4}).value(), {});
  const Engine& engine = serving->engine();
  EXPECT_EQ(engine.embedding(), (EmbeddingConfig{Pooling::mean, true, 256}));
  std::vector<std::vector<int32_t>> texts;
  for (const Json& row : golden["texts"]) {
    texts.push_back(engine.tokenizer()->encode(row["text"].get<std::string>()).value());
    EXPECT_EQ(texts.back(), row["tokens"].get<std::vector<int32_t>>()) << row["text"];
  }
  const auto vectors = embed(*serving, texts).value();
  double worst = 0;
  for (size_t i = 0; i < vectors.size(); ++i) {
    const auto expected = golden["texts"][i]["embedding"].get<std::vector<double>>();
    for (size_t k = 0; k < expected.size(); ++k) {
      EXPECT_NEAR(static_cast<double>(vectors[i][k]), expected[k], 1e-5) << i << ' ' << k;
    }
    for (size_t j = 0; j < vectors.size(); ++j) {
      double product = 0;
      for (size_t k = 0; k < vectors[i].size(); ++k) {
        product += static_cast<double>(vectors[i][k]) * static_cast<double>(vectors[j][k]);
      }
      worst = std::max(worst, std::fabs(product - golden["similarities"][i][j].get<double>()));
    }
  }
  EXPECT_LT(worst, 1e-4);
  RecordProperty("worst_similarity", fmt::format("{:.1e}", worst));
}

}  // namespace
}  // namespace lotse
