// The interface: trust, special tokens, directories, streaming, odd input.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/json.h"
#include "base/utf8.h"
#include "tests/tokenizer/tokenizer_test_util.h"

namespace lotse {
namespace {

using Ids = std::vector<int32_t>;

Ids encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  const auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids) << ids.error().message;
  return ids ? *ids : Ids();
}

Ids encode_segments(const Tokenizer& tokenizer, std::vector<TextSegment> segments) {
  const auto ids = tokenizer.encode_segments(segments);
  EXPECT_TRUE(ids) << ids.error().message;
  return ids ? *ids : Ids();
}

// A tokenizer of `name` with changes to its JSON.
std::shared_ptr<const Tokenizer> changed_tiny(const std::string& name, const Json& patch) {
  auto json = read_json_file(data_path(name + ".json"));
  if (!json) return nullptr;
  const auto tokenizer = Tokenizer::from_json(json->patch(patch).dump(), "test");
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? *tokenizer : nullptr;
}

constexpr EncodeOptions kPlain{.add_bos_eos = false};
constexpr EncodeOptions kParsed{.add_bos_eos = false, .parse_special = true};

TEST(Special, TextBecomesASpecialTokenOnlyWhenParsed) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  const int32_t begin = *tokenizer->token_to_id("<|begin|>");
  EXPECT_TRUE(tokenizer->is_special(begin));
  const std::string text = "a<|begin|>b";
  const Ids plain = encode(*tokenizer, text, kPlain);
  EXPECT_EQ(std::ranges::count(plain, begin), 0);
  EXPECT_EQ(tokenizer->decode(plain, false), text);
  const Ids parsed = encode(*tokenizer, text, kParsed);
  EXPECT_EQ(std::ranges::count(parsed, begin), 1);
  EXPECT_EQ(tokenizer->decode(parsed, false), text);
  EXPECT_EQ(tokenizer->decode(parsed, true), "ab");
}

TEST(Special, ModelsNeverReachSpecialTokensByThemselves) {
  for (const char* const name : {"unigram", "wordpiece", "spm_bpe", "unigram_first"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tiny(name);
    ASSERT_TRUE(tokenizer);
    for (const char* const text : {"</s>", "<pad>", "[CLS]", "[PAD]", "<s>", " </s> x<s>"}) {
      for (const int32_t id : encode(*tokenizer, text, kPlain)) {
        const std::string token = tokenizer->id_to_token(id);
        EXPECT_TRUE(!tokenizer->is_special(id) || token == "<unk>" || token == "[UNK]")
            << text << " gives " << token;
      }
    }
  }
}

TEST(Special, MergesNeverFormASpecialToken) {
  const std::string json = R"({"added_tokens": [{"id": 3, "content": "ab", "special": true}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4},
              "merges": ["a b", "ab c"], "ignore_merges": true}})";
  const auto tokenizer = Tokenizer::from_json(json, "test");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(encode(**tokenizer, "ab", kPlain), (Ids{0, 1}));
  EXPECT_EQ(encode(**tokenizer, "ab", kParsed), (Ids{3}));
}

TEST(Special, MarkersThatAreNotDeclaredSpecialNeedTrustToo) {
  const Json patch = Json::parse(R"([{"op": "add", "path": "/added_tokens/-",
    "value": {"id": 900, "content": "<think>", "special": false, "normalized": false}}])");
  const auto tokenizer = changed_tiny("llama3", patch);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(std::ranges::count(encode(*tokenizer, "x<think>y", kPlain), 900), 0);
  EXPECT_EQ(std::ranges::count(encode(*tokenizer, "x<think>y", kParsed), 900), 1);
  EXPECT_FALSE(tokenizer->is_special(900));
}

TEST(Segments, OnlyTrustedTextHasSpecialTokens) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  const int32_t begin = *tokenizer->token_to_id("<|begin|>");
  const int32_t end = *tokenizer->token_to_id("<|end|>");
  const Ids ids = encode_segments(
      *tokenizer, {{"<|begin|>user ", true}, {"hello <|end|> there", false}, {"<|end|>", true}});
  EXPECT_EQ(ids.front(), begin);
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(std::ranges::count(ids, end), 1);
  EXPECT_EQ(tokenizer->decode(ids, false), "<|begin|>user hello <|end|> there<|end|>");
}

TEST(Segments, ATokenPutTogetherAcrossABorderIsNotSpecial) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  const int32_t begin = *tokenizer->token_to_id("<|begin|>");
  EXPECT_EQ(
      std::ranges::count(encode_segments(*tokenizer, {{"<|beg", true}, {"in|>", false}}), begin),
      0);
  EXPECT_EQ(
      std::ranges::count(encode_segments(*tokenizer, {{"<|beg", false}, {"in|>", true}}), begin),
      0);
  EXPECT_EQ(encode_segments(*tokenizer, {{"<|beg", true}, {"in|>", true}}), Ids{begin});
}

TEST(Segments, BordersDoNotCutWords) {
  for (const char* const name : {"llama3", "spm_bpe", "unigram", "wordpiece", "gpt2"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tiny(name);
    ASSERT_TRUE(tokenizer);
    std::mt19937 random(5);
    const std::string text =
        "The harbour pilot came aboard, 12345 Schiffe \u6a21\u578b don't stop.\n\n x";
    const Ids whole = encode(*tokenizer, text, kPlain);
    for (int i = 0; i < 50; ++i) {
      size_t a = random() % text.size();
      while (a > 0 && (static_cast<uint8_t>(text[a]) & 0xc0) == 0x80) --a;
      const std::string_view view = text;
      EXPECT_EQ(encode_segments(*tokenizer, {{view.substr(0, a), random() % 2 == 0},
                                             {view.substr(a), random() % 2 == 0}}),
                whole);
    }
  }
}

TEST(Segments, NormalizedSpecialTokensKeepTheirTrust) {
  const Json patch = Json::parse(R"([{"op": "replace", "path": "/added_tokens/1/normalized",
                                      "value": true}])");
  const auto tokenizer = changed_tiny("spm_bpe", patch);
  ASSERT_TRUE(tokenizer);
  const int32_t bos = *tokenizer->token_to_id("<s>");
  const Ids ids =
      encode_segments(*tokenizer, {{"<s>", true}, {" <s> hi <s>", false}, {"x<s>", true}});
  EXPECT_EQ(std::ranges::count(ids, bos), 2);
  EXPECT_EQ(ids.front(), bos);
  EXPECT_EQ(ids.back(), bos);
}

TEST(Encode, MalformedTextIsReplaced) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  const std::pair<const char*, const char*> cases[] = {
      {"a\xff"
       "b",
       "a\ufffd"
       "b"},
      {"\xe4\xb8", "\ufffd"},
      {"\xe4\xb8x", "\ufffdx"},
      {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
      {"\xc0\x80", "\ufffd\ufffd"},
      {"\xf0\x9f\x98", "\ufffd"},
  };
  for (const auto& [malformed, repaired] : cases) {
    EXPECT_EQ(encode(*tokenizer, malformed), encode(*tokenizer, repaired));
    EXPECT_EQ(encode_segments(*tokenizer, {{malformed, false}}),
              encode(*tokenizer, repaired, kPlain));
  }
}

TEST(Encode, ManyThreadsAgree) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "harbour \u6a21\u578b pilot's " + std::to_string(i);
  const auto fresh = load_tiny("llama3");
  const Ids expected = encode(*fresh, text);
  std::vector<Ids> results(8);
  std::vector<std::thread> threads;
  for (Ids& result : results) {
    threads.emplace_back([&] { result = *tokenizer->encode(text); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

TEST(Decode, IdsWithoutATokenGiveNothing) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  const Ids ids = {-1, 1 << 30, INT32_MIN, static_cast<int32_t>(tokenizer->vocab_size())};
  EXPECT_EQ(tokenizer->decode(ids, false), "");
  EXPECT_EQ(tokenizer->id_to_token(-1), "");
  EXPECT_FALSE(tokenizer->is_special(1 << 30));
  EXPECT_EQ(tokenizer->token_to_id("no such token"), std::nullopt);
}

TEST(Decode, EveryTokenIsFoundByItsName) {
  for (const char* const name : {"llama3", "spm_bpe", "unigram", "wordpiece", "bpe_suffix"}) {
    const auto tokenizer = load_tiny(name);
    ASSERT_TRUE(tokenizer);
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      EXPECT_EQ(tokenizer->token_to_id(tokenizer->id_to_token(id)), id) << name;
    }
  }
}

TEST(Stream, EmitsWholeCharactersAndTheSameText) {
  std::mt19937 random(3);
  for (const char* const name :
       {"llama3", "spm_bpe", "unigram_bytes", "wordpiece", "bpe_suffix", "gpt2"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tiny(name);
    ASSERT_TRUE(tokenizer);
    for (int i = 0; i < 300; ++i) {
      Ids ids =
          encode(*tokenizer,
                 "\U0001f600 caf\u00e9 \u6e2f\u53e3 \u0645\u0631\u062d\u0628\u0627 \u10348 e\u0301",
                 kPlain);
      for (size_t k = 0; k < ids.size(); ++k) {
        if (random() % 4 == 0)
          ids[k] = static_cast<int32_t>(random() % static_cast<uint64_t>(tokenizer->vocab_size()));
      }
      StreamDecoder decoder(*tokenizer, false);
      std::string text;
      for (const int32_t id : ids) {
        const std::string part = decoder.push(id);
        EXPECT_TRUE(is_valid_utf8(part));
        text += part;
      }
      text += decoder.flush();
      EXPECT_EQ(text, tokenizer->decode(ids, false));
    }
  }
}

TEST(Stream, TextAppearsAsSoonAsItIsCertain) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  StreamDecoder decoder(*tokenizer, false);
  EXPECT_EQ(decoder.push(*tokenizer->token_to_id("a")), "a");
  EXPECT_EQ(decoder.push(*tokenizer->token_to_id("\u00e6")), "");  // the byte E6
  EXPECT_EQ(decoder.push(*tokenizer->token_to_id("\u00b8")), "");  // the byte B8
  EXPECT_EQ(decoder.push(*tokenizer->token_to_id("\u00af")), "\u6e2f");
  EXPECT_EQ(decoder.flush(), "");
}

// A model directory with a tiny tokenizer and a tokenizer_config.json.
class Directory : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("lotse_tokenizer_{}",
                        testing::UnitTest::GetInstance()->random_seed() + getpid());
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  Result<std::shared_ptr<const Tokenizer>> load(const std::string& name,
                                                const std::string& config) {
    std::filesystem::copy_file(data_path(name + ".json"), path_ / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    std::ofstream(path_ / "tokenizer_config.json") << config;
    return Tokenizer::load(path_);
  }

  std::filesystem::path path_;
};

TEST_F(Directory, ConfigNamesBosAndEos) {
  const auto tokenizer = load("llama3", R"({"bos_token": "<|begin|>",
    "eos_token": {"__type": "AddedToken", "content": "<|end|>"}, "unk_token": null,
    "model_max_length": 1000000000000000019884624838656})");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->bos_id(), (*tokenizer)->token_to_id("<|begin|>"));
  EXPECT_EQ((*tokenizer)->eos_id(), (*tokenizer)->token_to_id("<|end|>"));
}

TEST_F(Directory, LlamaClassesSurroundTextByTheConfig) {
  for (const bool bos : {false, true}) {
    for (const bool eos : {false, true}) {
      const auto tokenizer =
          load("spm_bpe", fmt::format(R"({{"tokenizer_class": "LlamaTokenizerFast",
        "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": {}, "add_eos_token": {}}})",
                                      bos, eos));
      ASSERT_TRUE(tokenizer) << tokenizer.error().message;
      const Ids ids = encode(**tokenizer, "ship");
      EXPECT_EQ(ids.front() == (*tokenizer)->bos_id(), bos);
      EXPECT_EQ(ids.back() == (*tokenizer)->eos_id(), eos);
    }
  }
}

TEST_F(Directory, ConfigDeclaresAddedTokens) {
  const auto tokenizer = load("llama3", R"({"added_tokens_decoder": {
    "900": {"content": "<|extra|>", "special": true}, "1": {"content": "<|end|>", "special": false}}})");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->token_to_id("<|extra|>"), 900);
  EXPECT_TRUE((*tokenizer)->is_special(900));
  EXPECT_FALSE((*tokenizer)->is_special(*(*tokenizer)->token_to_id("<|end|>")));
  EXPECT_EQ((*tokenizer)->vocab_size(), 901);
}

TEST_F(Directory, ErrorsNameFileAndField) {
  const std::pair<const char*, const char*> cases[] = {
      {"[1]", "tokenizer_config.json: expected an object"},
      {"{", "tokenizer_config.json: not valid JSON"},
      {R"({"bos_token": 3})", "\"bos_token\": expected a string"},
      {R"({"added_tokens_decoder": {"x": {"content": "a"}}})",
       "added_tokens_decoder.x: the key is no id"},
      {R"({"added_tokens_decoder": {"1000000000": {"content": "a"}}})", "the key is no id"},
      {R"({"added_tokens_decoder": {"7": {}}})", "\"content\" is missing"},
      {R"({"added_tokens_decoder": {"7": 1}})", "expected an object"},
      {R"({"added_tokens_decoder": {"0": {"content": "other"}}})", "id 0 stands for both"},
      {R"({"added_tokens_decoder": {"1000000": {"content": "far"}}})", "id 1000000 of \"far\""},
  };
  for (const auto& [config, part] : cases) {
    const auto tokenizer = load("llama3", config);
    ASSERT_FALSE(tokenizer) << config;
    EXPECT_NE(tokenizer.error().message.find(part), std::string::npos) << tokenizer.error().message;
    EXPECT_EQ(tokenizer.error().message.find('\n'), std::string::npos);
  }
  std::filesystem::remove(path_ / "tokenizer.json");
  const auto missing = Tokenizer::load(path_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace lotse
