// A port of a GGUF file is a complete directory: what it holds within itself stands beside its
// weights.
#include "port/gguf_companions.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<std::string> names(const std::vector<Companion>& companions) {
  std::vector<std::string> list;
  for (const Companion& companion : companions) list.push_back(companion.name);
  return list;
}

std::unique_ptr<Engine> open_engine(const fs::path& model) {
  EngineOptions options;
  options.device = "reference";
  options.threads = 1;
  return Engine::open(model, options).value();
}

std::vector<int32_t> greedy(Engine& engine, const std::vector<int32_t>& prompt) {
  const auto session = engine.make_session();
  const auto result = engine.generate(*session, prompt, {}, 48, [](int32_t) { return true; });
  EXPECT_TRUE(result);
  return result ? result->tokens : std::vector<int32_t>();
}

// Weights that are rounded answer differently in the end, so only what the port's tokenizer makes
// of text is compared with the source.
TEST(GgufPort, ReadsTextAsItsSourceDoes) {
  for (const char* name : {"gguf/llama.gguf", "gguf/qwen3.gguf"}) {
    SCOPED_TRACE(name);
    const ScratchFolder scratch;
    const fs::path out = scratch.path() / "out";
    ASSERT_TRUE(port(golden(name), out));
    const auto original = open_engine(golden(name));
    const auto ported = open_engine(out);
    ASSERT_NE(ported->tokenizer(), nullptr);
    for (const char* text : {"the", "in here and there!", "a man  in the", "<s> ride", ""}) {
      const auto prompt = original->tokenizer()->encode(text).value();
      EXPECT_EQ(ported->tokenizer()->encode(text).value(), prompt) << text;
      if (prompt.empty()) continue;
      const auto tokens = greedy(*ported, prompt);
      EXPECT_FALSE(tokens.empty());
      EXPECT_EQ(ported->tokenizer()->decode(tokens, true),
                original->tokenizer()->decode(tokens, true));
    }
  }
}

// An FP16 model stays what it is on a target without BF16: text goes in and comes out the same.
TEST(GgufPort, OfARealModelAnswersTheSame) {
  const char* const data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const fs::path source = fs::path(data) / "models/stories260K/stories260K-F16.gguf";
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "out";
  PortSettings settings;
  settings.target = "ascend-310p";
  settings.quant = WeightFormat::bf16;
  const auto result = port(source, out, settings);
  ASSERT_TRUE(result) << result.error().message;
  const auto original = open_engine(source);
  const auto ported = open_engine(out);
  ASSERT_NE(ported->tokenizer(), nullptr);
  for (const char* text :
       {"Once upon a time", "The cat ", "  Lily said, \"Hi\"", "\u4e2d", "One day, Tom"}) {
    const auto prompt = original->tokenizer()->encode(text).value();
    ASSERT_EQ(ported->tokenizer()->encode(text).value(), prompt) << text;
    const auto tokens = greedy(*original, prompt);
    EXPECT_EQ(greedy(*ported, prompt), tokens) << text;
    EXPECT_EQ(ported->tokenizer()->decode(tokens, true),
              original->tokenizer()->decode(tokens, true));
  }
}

class GgufPortTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(model_.parent_path());
    fs::copy_file(golden("gguf/llama.gguf"), model_);
  }

  void add(const char* name, std::string_view text) {
    write_bytes(model_.parent_path() / name, text);
  }

  std::string refusal() const {
    const auto result = port(model_, out_, settings_);
    return result ? "" : result.error().message;
  }

  ScratchFolder scratch_;
  PortSettings settings_;
  fs::path model_ = scratch_.path() / "model" / "llama.gguf";
  fs::path out_ = scratch_.path() / "out";
};

TEST_F(GgufPortTest, ListsTheFilesThatItExtracts) {
  ASSERT_EQ(refusal(), "");
  const Manifest manifest = check_artifact(out_).value();
  std::vector<std::string> listed;
  for (const ArtifactFile& file : manifest.files) listed.push_back(file.name);
  std::ranges::sort(listed);
  EXPECT_THAT(listed, testing::ElementsAre("config.json", "model.safetensors", "tokenizer.json",
                                           "tokenizer_config.json"));
  ASSERT_EQ(manifest.source_files.size(), 1u);
  EXPECT_EQ(manifest.source_files[0].name, "llama.gguf");
  // Every byte counts, as in the files that are copied.
  std::string text = read_bytes(out_ / "tokenizer.json");
  text[text.size() / 2] ^= 1;
  write_bytes(out_ / "tokenizer.json", text);
  EXPECT_THAT(check_artifact(out_).error().message, HasSubstr("tokenizer.json"));
}

TEST_F(GgufPortTest, FilesBesideTheModelGoBefore) {
  add("tokenizer_config.json", "{\"model_max_length\": 77}");
  ASSERT_EQ(refusal(), "");
  EXPECT_EQ(read_bytes(out_ / "tokenizer_config.json"), "{\"model_max_length\": 77}");
  EXPECT_THAT(read_bytes(out_ / "tokenizer.json"), HasSubstr("byte_fallback"));
  fs::remove_all(out_);
  fs::remove(model_.parent_path() / "tokenizer_config.json");
  add("tokenizer.json", "{}");
  ASSERT_EQ(refusal(), "");
  EXPECT_EQ(read_bytes(out_ / "tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(out_ / "tokenizer_config.json"));
}

// Fails the `count`-th rename and all after it.
class StopAtRename : public FileCalls {
 public:
  explicit StopAtRename(int count) : left_(count) {}
  int rename(const char* from, const char* to) override {
    if (left_-- > 0) return FileCalls::rename(from, to);
    errno = EIO;
    return -1;
  }

 private:
  int left_;
};

TEST_F(GgufPortTest, ResumesAtAnyFile) {
  ASSERT_EQ(refusal(), "");
  const auto expected = contents(out_);
  fs::remove_all(out_);
  int stopped = 0;
  for (bool done = false; !done; ++stopped) {
    ASSERT_LT(stopped, 50);
    StopAtRename stop(stopped);
    settings_.calls = &stop;
    done = refusal().empty();
    EXPECT_EQ(fs::exists(out_), done);
    if (done) break;
    settings_.calls = nullptr;
    ASSERT_EQ(refusal(), "");
    ASSERT_EQ(contents(out_), expected);
    fs::remove_all(out_);
  }
  EXPECT_GE(stopped, static_cast<int>(expected.size()));
  const auto again = port(model_, out_);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_done);
}

TEST_F(GgufPortTest, AVocabularyThatLotseCannotReadNeedsTokenizerJson) {
  std::string bytes = read_bytes(model_);
  const size_t key = bytes.find("tokenizer.ggml.model");
  bytes.replace(bytes.find("llama", key), 5, "plamo");
  write_bytes(model_, bytes);
  const std::string message = refusal();
  EXPECT_THAT(message, HasSubstr("tokenizer.ggml.model: \"plamo\" is not supported"));
  EXPECT_THAT(message, HasSubstr("put the model's tokenizer.json beside the GGUF file"));
  EXPECT_FALSE(fs::exists(out_));
  add("tokenizer.json", "{}");
  EXPECT_EQ(refusal(), "");
}

TEST(GgufCompanions, NameAllEndsOfAText) {
  GgufVocab vocab = open_checkpoint(golden("gguf/llama.gguf")).value().gguf_vocab.value();
  vocab.eot = vocab.eos;
  EXPECT_THAT(names(gguf_companions(vocab).value()),
              testing::ElementsAre("tokenizer.json", "tokenizer_config.json"));
  vocab.eot = 7;
  vocab.pad = 5;
  vocab.chat_template = "{{ messages }}";
  const auto companions = gguf_companions(vocab).value();
  ASSERT_THAT(names(companions), testing::ElementsAre("tokenizer.json", "tokenizer_config.json",
                                                      "generation_config.json"));
  EXPECT_EQ(parse_json(companions[2].text, "generation").value(),
            Json({{"bos_token_id", 1}, {"eos_token_id", {2, 7}}, {"pad_token_id", 5}}));
  const Json config = parse_json(companions[1].text, "config").value();
  EXPECT_EQ(config.at("chat_template"), "{{ messages }}");
  EXPECT_EQ(config.at("pad_token"), vocab.tokens[5]);
}

}  // namespace
}  // namespace lotse
