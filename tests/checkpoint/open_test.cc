#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/checkpoint.h"

namespace lotse {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden";

TEST(OpenCheckpoint, ReadsADirectoryOfSafetensors) {
  const auto checkpoint = open_checkpoint(kGolden / "llama");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->format, "safetensors");
  EXPECT_EQ(checkpoint->config["model_type"], "llama");
  const auto embedding = checkpoint->weights->read("model.embed_tokens.weight");
  ASSERT_TRUE(embedding) << embedding.error().message;
  EXPECT_EQ(embedding->shape[0], checkpoint->config["vocab_size"].get<int64_t>());
  EXPECT_EQ(embedding->shape[1], checkpoint->config["hidden_size"].get<int64_t>());
  const auto missing = checkpoint->weights->read("model.layers.0.self_attn.qproj.weight");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(
      missing.error().message.find("the closest name is model.layers.0.self_attn.q_proj.weight"),
      std::string::npos)
      << missing.error().message;
}

TEST(OpenCheckpoint, JoinsShards) {
  const auto checkpoint = open_checkpoint(kGolden / "llama_sharded");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_NE(checkpoint->weights->find("model.embed_tokens.weight"), nullptr);
  EXPECT_NE(checkpoint->weights->find("model.norm.weight"), nullptr);
  EXPECT_EQ(checkpoint->weights->find("model.norm"), nullptr);
}

TEST(OpenCheckpoint, ReadsAConfigAlone) {
  const auto checkpoint = open_checkpoint(kGolden / "llama" / "config.json");
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->format, "config");
  EXPECT_EQ(checkpoint->weights, nullptr);
  EXPECT_EQ(checkpoint->config["model_type"], "llama");
}

}  // namespace
}  // namespace lotse
