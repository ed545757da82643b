// What sentence-transformers' files say about embeddings, right and wrong.
#include "model/pooling.h"

#include <gtest/gtest.h>

#include <fstream>

namespace lotse {
namespace {

namespace fs = std::filesystem;

class PoolingFiles : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("pooling_") + test->name());
    fs::create_directories(folder_ / "1_Pooling");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  void write_modules(const std::string& more = "") const {
    write("modules.json",
          R"([{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"},
              {"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"})" +
              more + "]");
  }
  Result<std::optional<EmbeddingConfig>> read() const { return read_embedding_config(folder_); }
  std::string error() const {
    const auto result = read();
    return result ? "" : result.error().message;
  }

  fs::path folder_;
};

TEST_F(PoolingFiles, AreAbsent) { EXPECT_EQ(read().value(), std::nullopt); }

TEST_F(PoolingFiles, SayPoolingScaleAndLength) {
  write_modules(
      R"(,{"idx":2,"path":"2_Normalize","type":"sentence_transformers.models.Normalize"})");
  write("1_Pooling/config.json",
        R"({"word_embedding_dimension":384,"pooling_mode_cls_token":false,
            "pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":false})");
  write("sentence_bert_config.json", R"({"max_seq_length":256,"do_lower_case":false})");
  EXPECT_EQ(read().value(), (EmbeddingConfig{Pooling::mean, true, 256}));
}

TEST_F(PoolingFiles, NameEachPooling) {
  write_modules();
  const std::pair<const char*, Pooling> cases[] = {
      {R"({"pooling_mode_cls_token":true})", Pooling::cls},
      {R"({"pooling_mode_lasttoken":true,"include_prompt":true})", Pooling::last},
      {R"({"pooling_mode":"mean"})", Pooling::mean},
      {R"({"pooling_mode":"lasttoken"})", Pooling::last}};
  for (const auto& [text, pooling] : cases) {
    write("1_Pooling/config.json", text);
    EXPECT_EQ(read().value(), (EmbeddingConfig{pooling, false, 0})) << text;
  }
}

TEST_F(PoolingFiles, RefuseWhatLotseLacks) {
  write_modules();
  for (const char* text : {R"({"pooling_mode_max_tokens":true})", "{}",
                           R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})",
                           R"({"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true})",
                           R"({"pooling_mode":"weightedmean"})"}) {
    write("1_Pooling/config.json", text);
    EXPECT_NE(error().find("expected one pooling of cls, mean and last token"), std::string::npos)
        << text << ": " << error();
  }
  write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens":true})");
  write_modules(R"(,{"path":"2_Dense","type":"sentence_transformers.models.Dense"})");
  EXPECT_NE(error().find("modules.json: [2]: field \"type\": "
                         "\"sentence_transformers.models.Dense\" is not supported"),
            std::string::npos)
      << error();
}

TEST_F(PoolingFiles, MayBeBroken) {
  for (const char* text : {"{}", "[1]", "[{\"type\":7}]", "[", "null"}) {
    write("modules.json", text);
    EXPECT_NE(error(), "") << text;
  }
  for (const char* path : {"../elsewhere", "/etc", "a/../../b"}) {
    write("modules.json", std::string(R"([{"type":"x.Pooling","path":")") + path + "\"}]");
    EXPECT_NE(error().find("expected a folder beside the file"), std::string::npos) << path;
  }
  write_modules();
  fs::remove(folder_ / "1_Pooling/config.json");
  EXPECT_NE(error().find("1_Pooling"), std::string::npos);
}

}  // namespace
}  // namespace lotse
