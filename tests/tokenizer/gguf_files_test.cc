// tokenizer.json and tokenizer_config.json made from GGUF vocabularies: read back, they give the
// tokenizer that the vocabulary itself gives.
#include "tokenizer/gguf_files.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/utf8.h"
#include "tests/tokenizer/gguf_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> load_written(const TokenizerFiles& files) {
  std::string name = (fs::temp_directory_path() / "lotse-tokenizer-XXXXXX").string();
  EXPECT_NE(::mkdtemp(name.data()), nullptr);
  std::ofstream(fs::path(name) / "tokenizer.json") << files.tokenizer_json;
  std::ofstream(fs::path(name) / "tokenizer_config.json") << files.tokenizer_config_json;
  auto tokenizer = Tokenizer::load(name);
  fs::remove_all(name);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? *tokenizer : nullptr;
}

// Texts of every kind: planes of Unicode, spaces, digits, words, Chinese, malformed bytes, and
// tokens of the vocabulary as users might type them.
class Texts {
 public:
  Texts(const GgufVocabulary& vocabulary, uint32_t seed) : vocabulary_(vocabulary), random_(seed) {
    for (size_t id = 0; id < vocabulary.types.size(); ++id) {
      if (vocabulary.types[id] == 2 || vocabulary.types[id] == 3 || vocabulary.types[id] == 4) {
        added_.push_back(vocabulary.tokens[id]);
      }
    }
  }

  std::string next() {
    std::string text;
    const size_t pieces = 1 + random_() % 12;
    for (size_t i = 0; i < pieces; ++i) text += piece();
    return text;
  }

 private:
  char32_t character() {
    constexpr std::pair<char32_t, char32_t> kRanges[] = {
        {0x20, 0x7e},     {0x20, 0x7e},     {0, 0x1f},        {0xa0, 0x17f},      {0x300, 0x36f},
        {0x370, 0x5ff},   {0x900, 0x97f},   {0x2000, 0x206f}, {0x2070, 0x218f},   {0x2580, 0x2590},
        {0x3040, 0x30ff}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3}, {0x1f300, 0x1f64f}, {0x1, 0xd7ff}};
    const auto [low, high] = kRanges[random_() % std::size(kRanges)];
    return low + static_cast<char32_t>(random_() % (high - low + 1));
  }

  std::string piece() {
    constexpr std::string_view kWords[] = {"the",
                                           " Hello",
                                           " world's",
                                           "I'VE",
                                           "  ",
                                           "\n\n",
                                           "\t",
                                           " \r\n",
                                           "2026",
                                           " 12345",
                                           "\u4e2d\u6587\u5b57",
                                           "\u3002",
                                           "don't",
                                           "...",
                                           "!?",
                                           " {return",
                                           "();",
                                           "\xff",
                                           "abcabc"};
    std::string text;
    switch (random_() % 5) {
      case 0:
        return std::string(kWords[random_() % std::size(kWords)]);
      case 1:
        for (size_t i = 0; i < 1 + random_() % 6; ++i) append_utf8(text, character());
        return text;
      case 2:
        append_utf8(text, character());
        for (size_t i = random_() % 20; i > 0; --i) text += text.substr(0, 1 + random_() % 3);
        return text;
      case 3:
        return added_.empty() ? " " : added_[random_() % added_.size()];
      default:
        return vocabulary_.tokens[random_() % vocabulary_.tokens.size()];
    }
  }

  const GgufVocabulary& vocabulary_;
  std::mt19937 random_;
  std::vector<std::string> added_;
};

void expect_same_ids(const Tokenizer& written, const Tokenizer& original, const std::string& text) {
  for (const bool around : {true, false}) {
    for (const bool special : {true, false}) {
      const auto expected = original.encode(text, {around, special});
      const auto ids = written.encode(text, {around, special});
      ASSERT_EQ(ids.has_value(), expected.has_value()) << text;
      if (!ids) continue;
      ASSERT_EQ(*ids, *expected) << testing::PrintToString(text);
      for (const bool skip : {true, false}) {
        ASSERT_EQ(written.decode(*ids, skip), original.decode(*ids, skip));
        ASSERT_EQ(stream_decoded(written, *ids, skip), original.decode(*ids, skip));
      }
    }
  }
}

void expect_same(const Tokenizer& written, const Tokenizer& original,
                 const GgufVocabulary& vocabulary, int texts, uint32_t seed = 1) {
  EXPECT_EQ(written.bos_id(), original.bos_id());
  EXPECT_EQ(written.eos_id(), original.eos_id());
  ASSERT_EQ(written.vocab_size(), original.vocab_size());
  for (int32_t id = 0; id < original.vocab_size(); ++id) {
    ASSERT_EQ(written.id_to_token(id), original.id_to_token(id));
    ASSERT_EQ(written.is_special(id), original.is_special(id)) << original.id_to_token(id);
  }
  Texts source(vocabulary, seed);
  std::string trusted;
  for (int i = 0; i < texts; ++i) {
    const std::string text = source.next();
    ASSERT_NO_FATAL_FAILURE(expect_same_ids(written, original, text));
    const TextSegment segments[] = {{trusted, true}, {text, false}, {trusted, true}};
    const auto expected = original.encode_segments(segments, true);
    const auto ids = written.encode_segments(segments, true);
    ASSERT_EQ(ids.has_value(), expected.has_value());
    if (ids) {
      ASSERT_EQ(*ids, *expected) << testing::PrintToString(text);
    }
    trusted = text;
  }
  std::mt19937 random(seed);
  for (int i = 0; i < texts; ++i) {
    Ids ids(1 + random() % 20);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % vocabulary.tokens.size());
    ASSERT_EQ(written.decode(ids, false), original.decode(ids, false));
    ASSERT_EQ(written.decode(ids, true), original.decode(ids, true));
  }
}

void check(const GgufVocabulary& vocabulary, int texts, uint32_t seed = 1) {
  const auto original = Tokenizer::from_gguf(vocabulary);
  ASSERT_TRUE(original) << original.error().message;
  const auto files = tokenizer_files(vocabulary, {});
  ASSERT_TRUE(files) << files.error().message;
  const auto written = load_written(*files);
  ASSERT_TRUE(written);
  expect_same(*written, **original, vocabulary, texts, seed);
}

struct ByteLevelCase {
  const char* file;  // of tests/tokenizer/data
  const char* pre;
};

class ByteLevelFiles : public testing::TestWithParam<ByteLevelCase> {};

TEST_P(ByteLevelFiles, MeanTheSameTokenizer) {
  GgufVocabulary vocabulary = vocabulary_of(data_path(std::string(GetParam().file) + ".json"));
  vocabulary.model = "gpt2";
  vocabulary.pre = GetParam().pre;
  check(vocabulary, 1500);
  vocabulary.bos = 0;
  vocabulary.eos = 1;
  vocabulary.types[0] = vocabulary.types[1] = 3;
  for (const bool add_bos : {true, false}) {
    vocabulary.add_bos = add_bos;
    vocabulary.add_eos = !add_bos;
    check(vocabulary, 300);
  }
  // Tokens that no merges lead to: whole words all the same where merges are ignored.
  vocabulary.merges.resize(vocabulary.merges.size() / 2);
  check(vocabulary, 1000);
}

// All expressions that a name of `tokenizer.ggml.pre` stands for.
INSTANTIATE_TEST_SUITE_P(
    Names, ByteLevelFiles,
    testing::Values(ByteLevelCase{"gpt2", "gpt-2"}, ByteLevelCase{"starcoder", "starcoder"},
                    ByteLevelCase{"llama3", "llama-bpe"}, ByteLevelCase{"llama3", "dbrx"},
                    ByteLevelCase{"llama3", "qwen2"}, ByteLevelCase{"llama3", "deepseek-v3"},
                    ByteLevelCase{"o200k", "gpt-4o"}, ByteLevelCase{"o200k", "tekken"}));

TEST(GgufFiles, OfWordPieceMeanTheSameTokenizer) {
  GgufVocabulary vocabulary = bert_vocabulary_of(data_path("wordpiece.json"));
  check(vocabulary, 1500);
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  vocabulary.add_bos = vocabulary.add_eos = true;
  check(vocabulary, 300);
}

// Scores in any order and with equals, which no training gives.
TEST(GgufFiles, OfSentencePieceMeanTheSameTokenizer) {
  std::mt19937 random(31);
  const std::vector<std::string> alphabets[] = {
      {"a"}, {"a", "b"}, {"\u2581", "a", "b", "c"}, {"\u2581", "a", "\u4e2d", "\u00e9", "1"}};
  for (uint32_t round = 0; round < 150; ++round) {
    GgufVocabulary vocabulary =
        random_sentencepiece(alphabets[random() % 4], 60, random() % 2 == 0, random);
    if (random() % 3 == 0) {
      // A word that users add, one that they reserve, and one that is not used.
      for (const int32_t type : {4, 4, 5}) {
        vocabulary.tokens.push_back(std::vector{"<tool>", "abcab", "bca"}[random() % 3] +
                                    std::to_string(vocabulary.tokens.size()));
        vocabulary.types.push_back(type);
        vocabulary.scores.push_back(0);
      }
    }
    ASSERT_NO_FATAL_FAILURE(check(vocabulary, 60, round));
  }
}

TEST(GgufFiles, TheConfigurationNamesSpecialTokensAndTemplate) {
  std::mt19937 random(3);
  GgufVocabulary vocabulary = random_sentencepiece({"a", "b"}, 10, true, random);
  vocabulary.add_bos = true;
  vocabulary.add_eos = false;
  const auto files = tokenizer_files(vocabulary, {.pad = 2, .chat_template = "{{ \"\u4e2d\" }}"});
  ASSERT_TRUE(files) << files.error().message;
  const Json config = parse_json(files->tokenizer_config_json, "config").value();
  EXPECT_EQ(config, Json({{"tokenizer_class", "PreTrainedTokenizerFast"},
                          {"clean_up_tokenization_spaces", false},
                          {"add_bos_token", true},
                          {"add_eos_token", false},
                          {"bos_token", "<s>"},
                          {"eos_token", "</s>"},
                          {"unk_token", "<unk>"},
                          {"pad_token", "</s>"},
                          {"chat_template", "{{ \"\u4e2d\" }}"}}));
  EXPECT_EQ(files->tokenizer_json, tokenizer_files(vocabulary, {})->tokenizer_json);
}

TEST(GgufFiles, BrokenMetadataIsRefused) {
  std::mt19937 random(3);
  const GgufVocabulary good = random_sentencepiece({"a", "b"}, 10, true, random);
  EXPECT_THAT(tokenizer_files(good, {.pad = 1 << 20}).error().message,
              testing::HasSubstr("pad_token has the id 1048576"));
  GgufVocabulary bad = good;
  bad.model = "t5";
  EXPECT_THAT(tokenizer_files(bad, {}).error().message, testing::HasSubstr("\"t5\""));
  bad = good;
  bad.tokens[5] = "\xff";
  EXPECT_THAT(tokenizer_files(bad, {}).error().message, testing::HasSubstr("tokens[5]"));
  // What only the tokenizer itself finds out.
  bad = good;
  bad.tokens[1] = std::string(600, '<');
  EXPECT_THAT(tokenizer_files(bad, {}).error().message, testing::HasSubstr("600 bytes"));
}

class RealFiles : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* const folder = std::getenv("LOTSE_TEST_DATA");
    if (folder == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
    path_ = fs::path(folder) / GetParam();
  }

  fs::path path_;
};

class RealGgufFiles : public RealFiles {};

TEST_P(RealGgufFiles, MeanTheSameTokenizer) { check(stored_vocabulary(path_), 3000); }

INSTANTIATE_TEST_SUITE_P(Files, RealGgufFiles,
                         testing::Values("vocab-gguf/gpt-2.gguf", "vocab-gguf/llama-spm.gguf",
                                         "vocab-gguf/phi-3.gguf", "vocab-gguf/bert-bge.gguf",
                                         "models/stories260K/stories260K-F16.gguf"));

// The largest vocabularies, as a GGUF file would hold them.
class RealByteLevelFiles : public RealFiles {};

TEST_P(RealByteLevelFiles, MeanTheSameTokenizer) {
  GgufVocabulary vocabulary = vocabulary_of(path_ / "tokenizer.json");
  vocabulary.model = "gpt2";
  vocabulary.pre = path_.filename() == "qwen3"         ? "qwen2"
                   : path_.filename() == "deepseek-v3" ? "deepseek-v3"
                                                       : "llama-bpe";
  check(vocabulary, 2000);
}

INSTANTIATE_TEST_SUITE_P(Files, RealByteLevelFiles,
                         testing::Values("tokenizers/qwen3", "tokenizers/llama-3.2",
                                         "tokenizers/deepseek-v3"));

}  // namespace
}  // namespace lotse
