// Tokenizers from GGUF metadata: against those of tokenizer.json, SentencePiece's own algorithm,
// and real files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "tests/tokenizer/gguf_test_util.h"
#include "tests/tokenizer/vectors.h"

namespace lotse {
namespace {

using Ids = std::vector<int32_t>;

constexpr EncodeOptions kPlain{.add_bos_eos = false};

std::shared_ptr<const Tokenizer> from_gguf(const GgufVocabulary& vocabulary) {
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? *tokenizer : nullptr;
}

void expect_same(const Tokenizer& actual, const Tokenizer& expected) {
  const auto golden = read_json_file(data_path("tiny_goldens.json"));
  ASSERT_TRUE(golden);
  for (const Json& text : (*golden)["texts"]) {
    const auto ids = expected.encode(text.get<std::string>(), kPlain);
    EXPECT_EQ(*actual.encode(text.get<std::string>(), kPlain), *ids) << text.dump();
    EXPECT_EQ(actual.decode(*ids, false), expected.decode(*ids, false));
  }
}

TEST(Gguf, ByteLevelEqualsTokenizerJson) {
  const std::pair<const char*, const char*> cases[] = {{"gpt2", "gpt-2"},
                                                       {"starcoder", "starcoder"}};
  for (const auto& [name, pre] : cases) {
    GgufVocabulary vocabulary = vocabulary_of(data_path(std::string(name) + ".json"));
    vocabulary.model = "gpt2";
    vocabulary.pre = pre;
    const auto tokenizer = from_gguf(vocabulary);
    ASSERT_TRUE(tokenizer);
    expect_same(*tokenizer, *load_tiny(name));
  }
}

// Texts with "▁", of which GGUF's notation has no tokens, are left out.
TEST(Gguf, BertEqualsTokenizerJson) {
  const GgufVocabulary vocabulary = bert_vocabulary_of(data_path("wordpiece.json"));
  const auto tokenizer = from_gguf(vocabulary);
  ASSERT_TRUE(tokenizer);
  auto json = read_json_file(data_path("wordpiece.json"));
  ASSERT_TRUE(json);
  (*json)["model"]["max_input_chars_per_word"] = 100;
  const auto expected = Tokenizer::from_json(json->dump(), "wordpiece");
  ASSERT_TRUE(expected);
  const auto golden = read_json_file(data_path("tiny_goldens.json"));
  ASSERT_TRUE(golden);
  for (const Json& value : (*golden)["texts"]) {
    const std::string text = value.get<std::string>();
    if (text.find("\u2581") != std::string::npos) continue;
    EXPECT_EQ(*tokenizer->encode(text, kPlain), *(*expected)->encode(text, kPlain)) << text;
  }
}

// SentencePiece: merges whichever neighbours form the token with the highest score, the leftmost
// first.
std::vector<std::string> plain_sentencepiece(std::vector<std::string> symbols,
                                             const std::map<std::string, float>& scores) {
  while (true) {
    float best = -INFINITY;
    size_t at = symbols.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = scores.find(symbols[i] + symbols[i + 1]);
      if (it == scores.end() || it->second <= best) continue;
      best = it->second;
      at = i;
    }
    if (at == symbols.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at + 1));
  }
}

TEST(Gguf, SentencePieceMergesByScore) {
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    GgufVocabulary vocabulary;
    vocabulary.model = "llama";
    vocabulary.add_space_prefix = false;
    vocabulary.tokens = {"<unk>", "a", "b", "c", "\u2581"};
    for (size_t tries = 0; tries < 40; ++tries) {
      const auto pick = [&] {
        return vocabulary.tokens[1 + random() % (vocabulary.tokens.size() - 1)];
      };
      const std::string token = pick() + pick();
      if (token.size() > 12 ||
          std::ranges::find(vocabulary.tokens, token) != vocabulary.tokens.end()) {
        continue;
      }
      vocabulary.tokens.push_back(token);
    }
    std::vector<float> scores(vocabulary.tokens.size());
    for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
    if (round % 2 == 1) std::ranges::shuffle(scores, random);
    vocabulary.scores = scores;
    vocabulary.types.assign(scores.size(), 1);
    vocabulary.types[0] = 2;
    vocabulary.unk = 0;
    std::map<std::string, float> by_token;
    for (size_t i = 1; i < scores.size(); ++i) by_token[vocabulary.tokens[i]] = scores[i];

    const auto tokenizer = from_gguf(vocabulary);
    ASSERT_TRUE(tokenizer);
    for (int i = 0; i < 10; ++i) {
      std::string text;
      std::vector<std::string> symbols;
      const size_t length = 1 + random() % 150;
      for (size_t k = 0; k < length; ++k) {
        text += "abc "[random() % 4];
        symbols.push_back(text.back() == ' ' ? "\u2581" : text.substr(text.size() - 1));
      }
      const auto ids = tokenizer->encode(text);
      ASSERT_TRUE(ids);
      std::vector<std::string> tokens;
      for (const int32_t id : *ids) tokens.push_back(tokenizer->id_to_token(id));
      ASSERT_EQ(tokens, plain_sentencepiece(symbols, by_token)) << text;
      ASSERT_EQ(tokenizer->decode(*ids, false), text);
    }
  }
}

TEST(Gguf, BrokenMetadataIsRefused) {
  GgufVocabulary good = vocabulary_of(data_path("gpt2.json"));
  good.model = "gpt2";
  good.pre = "gpt-2";
  const auto refused = [](const GgufVocabulary& vocabulary) {
    const auto tokenizer = Tokenizer::from_gguf(vocabulary);
    return tokenizer ? std::string("(accepted)") : tokenizer.error().message;
  };
  ASSERT_EQ(refused(good), "(accepted)");
  const auto expect = [&](auto change, std::string_view part) {
    GgufVocabulary vocabulary = good;
    change(vocabulary);
    const std::string message = refused(vocabulary);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find("GGUF: tokenizer.ggml."), 0u) << message;
  };
  expect([](auto& v) { v.model = "t5"; }, "model: \"t5\" is not supported");
  expect([](auto& v) { v.pre = "unheard-of"; }, "pre: \"unheard-of\" is not supported");
  expect([](auto& v) { v.pre = ""; }, "pre: \"\" is not supported");
  expect([](auto& v) { v.tokens.clear(); }, "tokens: expected 1 to");
  expect([](auto& v) { v.tokens[5] = v.tokens[6]; }, "stands twice");
  expect([](auto& v) { v.tokens[5] = "\xff"; }, "tokens[5]: not valid UTF-8");
  expect([](auto& v) { v.types.pop_back(); }, "token_type");
  expect([](auto& v) { v.merges[0] = "nothing"; }, "merges[0]");
  expect([](auto& v) { v.merges[0] = ""; }, "merges[0]");
  expect([](auto& v) { v.merges[1] = "a \u00ff"; }, "merges[1]");
  expect([](auto& v) { v.bos = 100000; }, "bos_token_id: expected an id");
  expect([](auto& v) { v.eos = -1; }, "eos_token_id: expected an id");
  expect([](auto& v) { v.unk = 1 << 30; }, "unknown_token_id: expected an id");
  expect([](auto& v) { v.model = "llama"; }, "scores: 0 scores for");
  expect(
      [](auto& v) {
        v.model = "llama";
        v.scores.assign(v.tokens.size(), NAN);
      },
      "scores[0]");
  expect([](auto& v) { v.model = "bert"; }, "unknown_token_id: missing");
  expect(
      [](auto& v) {
        v.model = "llama";
        v.scores.assign(v.tokens.size(), 0);
        v.tokens[9] = std::string(5000, 'x');
      },
      "tokens[9]: 5000 bytes");
}

class RealGguf : public testing::TestWithParam<const char*> {};

TEST_P(RealGguf, GivesTheExpectedIds) {
  const char* const folder = std::getenv("LOTSE_TEST_DATA");
  if (folder == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const auto tokenizer =
      from_gguf(stored_vocabulary(std::string(folder) + "/vocab-gguf/" + GetParam() + ".gguf"));
  ASSERT_TRUE(tokenizer);
  const std::string base = std::string(folder) + "/vectors/" + GetParam();
  const auto texts = read_texts(base + ".inp");
  const auto expected = read_ids(base + ".out");
  ASSERT_GT(texts.size(), 40u);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(*tokenizer->encode(texts[i], kPlain), expected[i]) << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Files, RealGguf,
                         testing::Values("gpt-2", "llama-spm", "phi-3", "bert-bge"));

}  // namespace
}  // namespace lotse
