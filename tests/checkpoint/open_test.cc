#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "checkpoint/checkpoint.h"
#include "checkpoint/shard_index.h"
#include "tests/checkpoint/builders.h"
#include "tests/checkpoint/temporary_folder.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = fs::path(LOTSE_SOURCE_DIR) / "tests/golden";

std::string error_of(const fs::path& path) {
  const auto checkpoint = open_checkpoint(path);
  return checkpoint ? "" : checkpoint.error().message;
}

void expect_names(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " is not in: " << message;
  }
}

std::string one_tensor(std::string_view name) {
  SafetensorsBuilder file;
  file.add(name, "F32", "[1]", "abcd");
  return file.build();
}

TEST(OpenCheckpoint, ReadsADirectoryOfSafetensors) {
  const auto checkpoint = open_checkpoint(kGolden / "llama");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->format, "safetensors");
  EXPECT_EQ(checkpoint->path, kGolden / "llama");
  EXPECT_EQ(checkpoint->config["model_type"], "llama");
  EXPECT_TRUE(checkpoint->config_origin.ends_with("llama/config.json"));
  EXPECT_EQ(checkpoint->metadata.at("format"), "pt");
  const auto embedding = checkpoint->weights->read("model.embed_tokens.weight");
  ASSERT_TRUE(embedding) << embedding.error().message;
  EXPECT_EQ(embedding->shape, Shape({128, 48}));
}

TEST(OpenCheckpoint, AnUnknownTensorNamesTheClosest) {
  const auto checkpoint = open_checkpoint(kGolden / "llama").value();
  const std::pair<const char*, const char*> names[] = {
      {"model.layers.0.self_attn.qproj.weight", "model.layers.0.self_attn.q_proj.weight"},
      {"layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"},
      {"model.embed_tokens", "model.embed_tokens.weight"},
      {"lm_head.bias", "lm_head.weight"},
  };
  for (const auto& [wrong, closest] : names) {
    const auto missing = checkpoint.weights->read(wrong);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
    expect_names(missing.error().message, {"model.safetensors", wrong, closest});
  }
}

TEST(OpenCheckpoint, ShardsEqualTheWhole) {
  const auto sharded = open_checkpoint(kGolden / "llama_sharded");
  ASSERT_TRUE(sharded) << sharded.error().message;
  const auto whole = open_checkpoint(kGolden / "llama").value();
  ASSERT_EQ(sharded->weights->tensors().size(), whole.weights->tensors().size());
  for (const TensorInfo& info : whole.weights->tensors()) {
    const Tensor tensor = sharded->weights->read(info.name).value();
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, whole.weights->read(info.name)->bytes));
  }
}

TEST(OpenCheckpoint, ReadsAConfigAlone) {
  const auto checkpoint = open_checkpoint(kGolden / "llama" / "config.json");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->format, "config");
  EXPECT_EQ(checkpoint->weights, nullptr);
  EXPECT_EQ(checkpoint->config["model_type"], "llama");
}

TEST(OpenCheckpoint, ReadsEveryRealConfig) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(data) / "configs")) {
    const auto checkpoint = open_checkpoint(entry.path() / "config.json");
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_TRUE(checkpoint->config.contains("model_type"));
    ++count;
    const fs::path index = entry.path() / "model.safetensors.index.json";
    if (!fs::exists(index)) continue;
    expect_names(error_of(entry.path()), {"model.safetensors.index.json", "shard model-00001-of-"});
  }
  EXPECT_GE(count, 28);
}

TEST(OpenCheckpoint, WhatIsNotThereIsNamed) {
  const TemporaryFolder folder;
  expect_names(error_of(folder.path() / "gone"), {"gone", "no such file"});
  expect_names(error_of(folder.path()), {"holds no model"});
  folder.write("notes.txt", "hello");
  expect_names(error_of(folder.path() / "notes.txt"), {"notes.txt", "not a checkpoint"});
  folder.write("weights.bin", "hello");
  expect_names(error_of(folder.path() / "weights.bin"), {"weights.bin", "PyTorch", "llama2.c"});
  folder.write("config.json", "[1]");
  expect_names(error_of(folder.path()), {"config.json", "expected a JSON object"});
}

TEST(OpenCheckpoint, AnyOneWeightFileWillDo) {
  const TemporaryFolder folder;
  folder.write("a.safetensors", one_tensor("a"));
  const auto one = open_checkpoint(folder.path());
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_TRUE(one->config.is_null());
  folder.write("b.safetensors", one_tensor("b"));
  expect_names(error_of(folder.path()), {"2 .safetensors files", "a.safetensors"});
}

// A folder with an index and one shard that holds tensor "a".
class ShardIndex : public testing::Test {
 protected:
  std::string error(const std::string& weight_map) {
    folder_.write("model.safetensors.index.json", R"({"weight_map":)" + weight_map + "}");
    return error_of(folder_.path());
  }
  void SetUp() override {
    folder_.write("s1.safetensors", one_tensor("a"));
    folder_.write("s2.safetensors", one_tensor("b"));
    folder_.write("again.safetensors", one_tensor("a"));
  }
  TemporaryFolder folder_;
};

TEST_F(ShardIndex, BrokenIndexesAreRefused) {
  EXPECT_EQ(error(R"({"a":"s1.safetensors","b":"s2.safetensors"})"), "");
  expect_names(error(R"({"a":"s3.safetensors"})"), {"shard s3.safetensors is missing"});
  expect_names(error(R"({"b":"s1.safetensors"})"), {"tensor b", "s1.safetensors"});
  expect_names(error(R"({"a":"s1.safetensors","c":"s1.safetensors"})"), {"tensor c"});
  expect_names(error(R"({"a":"s1.safetensors","a":"s2.safetensors"})"), {"duplicate tensor a"});
  expect_names(error(R"([])"), {"weight_map"});
  expect_names(error(R"({"a":)"), {"not valid JSON"});
  expect_names(error(R"({"b":"s2.safetensors","a":"again.safetensors","z":"s1.safetensors"})"),
               {"tensor z"});
}

TEST_F(ShardIndex, ATensorInTwoShardsIsRefused) {
  SafetensorsBuilder both;
  both.add("a", "F32", "[1]", "abcd");
  both.add("c", "F32", "[1]", "abcd");
  folder_.write("s3.safetensors", both.build());
  expect_names(error(R"({"a":"s1.safetensors","c":"s3.safetensors"})"),
               {"tensor a", "s1.safetensors", "s3.safetensors"});
}

TEST(ShardIndexNames, AreOnlyPlainFileNames) {
  for (const char* shard :
       {R"("../s1.safetensors")", R"("/etc/passwd")", R"("x/s1.safetensors")", R"("..")", R"(".")",
        R"("")", R"("a\\b")", R"("s1\u0000.safetensors")", "1", "null", "{}", R"(["s1"])"}) {
    const auto index =
        parse_shard_index(fmt::format(R"({{"weight_map":{{"layer.w":{}}}}})", shard), "x");
    ASSERT_FALSE(index) << shard;
    expect_names(index.error().message, {"x: ", "layer.w", "plain file name"});
  }
}

}  // namespace
}  // namespace lotse
