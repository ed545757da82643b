// Which names of a hub are refused, and which files of a repository are chosen.
#include "cli/hub.h"

#include <gtest/gtest.h>

namespace lotse::cli {
namespace {

HubModel model_of(std::initializer_list<const char*> paths) {
  HubModel model{"org/model", "main", {}};
  for (const char* path : paths) model.files.push_back({path, 1, ""});
  return model;
}

std::vector<std::string> chosen(const HubModel& model, const std::vector<std::string>& globs = {}) {
  std::vector<std::string> paths;
  const auto files = choose_files(model, globs);
  if (!files) return {files.error().message};
  for (const HubFile& file : *files) paths.push_back(file.path);
  return paths;
}

using Paths = std::vector<std::string>;

TEST(HubPaths, OrdinaryNamesAreSafe) {
  for (const char* path : {"config.json", "a/b/model-00001-of-00002.safetensors", "tokenizer.model",
                           "Modell-Größe.gguf", "a b.txt"}) {
    EXPECT_TRUE(is_safe_path(path)) << path;
  }
}

TEST(HubPaths, NamesThatLeaveTheDirectoryAreNot) {
  const std::vector<std::string> paths = {std::string(),           std::string("/etc/passwd"),
                                          std::string("../x"),     std::string("a/../../x"),
                                          std::string("a//b"),     std::string("a/"),
                                          std::string("."),        std::string("a/./b"),
                                          std::string(".bashrc"),  std::string("a/.ssh/key"),
                                          std::string("a\\..\\b"), std::string("a\nb"),
                                          std::string("a\0b", 3),  std::string("\xff\xfe"),
                                          std::string(300, 'a'),   std::string("\x7f")};
  for (const std::string& path : paths) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
}

TEST(HubChoice, SafetensorsBeforePyTorchAndConfigLast) {
  const auto model =
      model_of({"README.md", "config.json", "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                "pytorch_model.bin", "tokenizer.json", "onnx/model.onnx", "sub/config.json"});
  EXPECT_EQ(chosen(model), (Paths{"model.safetensors.index.json", "tokenizer.json",
                                  "model-00001-of-00002.safetensors",
                                  "model-00002-of-00002.safetensors", "config.json"}));
}

TEST(HubChoice, SecondCopyOfTheWeightsIsLeftOut) {
  EXPECT_EQ(chosen(model_of({"config.json", "consolidated.safetensors", "model.safetensors"})),
            (Paths{"model.safetensors", "config.json"}));
  EXPECT_EQ(chosen(model_of({"config.json", "weights.safetensors"})),
            (Paths{"weights.safetensors", "config.json"}));
}

TEST(HubChoice, PyTorchFilesWhereThereIsNothingElse) {
  EXPECT_EQ(chosen(model_of({"config.json", "pytorch_model-00001-of-00001.bin", "optimizer.bin"})),
            (Paths{"pytorch_model-00001-of-00001.bin", "config.json"}));
}

TEST(HubChoice, OneGgufIsTakenAndSeveralAreListed) {
  EXPECT_EQ(chosen(model_of({"a-Q4_K_M.gguf"})), (Paths{"a-Q4_K_M.gguf"}));
  const auto model = model_of({"a-Q4_K_M.gguf", "a-Q8_0.gguf"});
  const std::string message = chosen(model).front();
  EXPECT_NE(message.find("--include"), std::string::npos);
  EXPECT_NE(message.find("a-Q8_0.gguf"), std::string::npos);
  EXPECT_EQ(chosen(model, {"*Q8*"}), (Paths{"a-Q8_0.gguf"}));
}

TEST(HubChoice, PatternThatMatchesNothingIsAnError) {
  EXPECT_NE(chosen(model_of({"config.json", "a.gguf"}), {"*Q2*"}).front().find("--include"),
            std::string::npos);
}

TEST(HubUrls, PathsAreEscapedPartByPart) {
  const Hub hub{"https://hub.example", ""};
  EXPECT_EQ(hub.file_url({"org/model", "refs/pr/1", {}}, {"a b/c#.json", 1, ""}),
            "https://hub.example/org/model/resolve/refs%2Fpr%2F1/a%20b/c%23.json");
}

}  // namespace
}  // namespace lotse::cli
