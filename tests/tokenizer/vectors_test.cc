// The published test vectors of llama.cpp: texts and ids, without special tokens.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mmap.h"
#include "tests/tokenizer/tokenizer_test_util.h"
#include "tests/tokenizer/vectors.h"

namespace lotse {
namespace {

struct VectorCase {
  const char* vectors;
  const char* tokenizer;
};

class Vectors : public testing::TestWithParam<VectorCase> {};

// phi-2 is GPT-2 with more words, runs of spaces, which GPT-2's vectors do not know.
std::shared_ptr<const Tokenizer> load_without_added_words(const std::string& path) {
  auto json = read_json_file(path, int64_t{1} << 30);
  if (!json) return nullptr;
  Json& added = (*json)["added_tokens"];
  std::erase_if(added.get_ref<Json::array_t&>(), [](const Json& token) {
    return token["content"].get<std::string>().find_first_not_of(" \t") == std::string::npos;
  });
  auto tokenizer = Tokenizer::from_json(json->dump(), path);
  EXPECT_TRUE(tokenizer);
  return tokenizer ? *tokenizer : nullptr;
}

TEST_P(Vectors, GiveTheExpectedIds) {
  const char* const folder = std::getenv("LOTSE_TEST_DATA");
  if (folder == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const std::string base = std::string(folder) + "/vectors/" + GetParam().vectors;
  const auto texts = read_texts(base + ".inp");
  const auto expected = read_ids(base + ".out");
  ASSERT_GT(texts.size(), 40u);
  ASSERT_LE(texts.size(), expected.size());
  const auto tokenizer = load_without_added_words(std::string(folder) + "/tokenizers/" +
                                                  GetParam().tokenizer + "/tokenizer.json");
  ASSERT_TRUE(tokenizer);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = tokenizer->encode(texts[i], {.add_bos_eos = false});
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, expected[i]) << "text " << i << ": " << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(LlamaCpp, Vectors,
                         testing::Values(VectorCase{"llama-bpe", "llama-3.2"},
                                         VectorCase{"qwen2", "qwen3"},
                                         VectorCase{"deepseek-r1-qwen", "qwen3"},
                                         VectorCase{"llama-spm", "llama2"},
                                         VectorCase{"phi-3", "phi-3"}, VectorCase{"gpt-2", "phi-2"},
                                         VectorCase{"bert-bge", "bert-base-uncased"}),
                         [](const auto& test) {
                           std::string name = test.param.vectors;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace lotse
