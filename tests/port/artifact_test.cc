// lotse.json and check_artifact: every changed, missing or added byte is found.
#include "port/artifact.h"

#include <random>

#include "base/hash.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

class ArtifactCheck : public testing::Test {
 protected:
  void SetUp() override {
    PortSettings settings;
    settings.shard_bytes = 40'000;
    const auto result = port(copy_model(scratch_.path(), "mixtral"), out_, settings);
    ASSERT_TRUE(result) << result.error().message;
    files_ = contents(out_);
    ASSERT_TRUE(check_artifact(out_));
  }

  // The message, which must be there and name `file`.
  std::string message_for(const std::string& file, CheckDepth depth = CheckDepth::hashes) const {
    const auto result = check_artifact(out_, depth);
    if (result) return "";
    EXPECT_NE(result.error().message.find(file), std::string::npos) << result.error().message;
    return result.error().message;
  }

  ScratchFolder scratch_;
  fs::path out_ = scratch_.path() / "out";
  std::map<std::string, std::string> files_;
};

TEST_F(ArtifactCheck, FindsAFlippedBitInAnyFile) {
  std::mt19937 random(1);
  for (const auto& [name, bytes] : files_) {
    // A sample; Manifest.FindsEveryFlippedBit is exhaustive.
    const bool is_manifest = name == kManifestName;
    const size_t step = is_manifest ? 11 : std::max<size_t>(1, bytes.size() / 50);
    for (size_t at = random() % step; at < bytes.size(); at += step) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << (random() % 8)));
      write_bytes(out_ / name, flipped);
      EXPECT_NE(message_for(name), "") << name << " byte " << at;
    }
    write_bytes(out_ / name, bytes);
  }
  EXPECT_TRUE(check_artifact(out_));
}

// Without check_artifact(): whoever opens an artifact reads no tensor of a damaged chunk.
TEST_F(ArtifactCheck, ReadingATensorChecksItsChunk) {
  for (const auto& [name, bytes] : files_) {
    if (!name.ends_with(".safetensors")) continue;
    std::string flipped = bytes;
    flipped[bytes.size() - 1] = static_cast<char>(flipped[bytes.size() - 1] ^ 16);
    write_bytes(out_ / name, flipped);
    const auto damaged = open_checkpoint(out_);
    ASSERT_TRUE(damaged) << damaged.error().message;
    for (const TensorInfo& info : damaged->weights->tensors()) {
      const auto tensor = damaged->weights->read(info.name);
      EXPECT_EQ(tensor.has_value(), !info.file.ends_with(name)) << info.name;
      if (!tensor) EXPECT_NE(tensor.error().message.find(name + ": chunk 0"), std::string::npos);
    }
    write_bytes(out_ / name, bytes);
  }
}

TEST(CheckedChunks, ChecksTheChunksThatAPartTouches) {
  std::vector<std::byte> bytes(static_cast<size_t>(2 * kChunkBytes + 5), std::byte{7});
  const std::span<const std::byte> file(bytes);
  const auto chunk = static_cast<size_t>(kChunkBytes);
  const std::vector<uint64_t> hashes = {xxh3(file.first(chunk)), xxh3(file.subspan(chunk, chunk)),
                                        xxh3(file.last(5))};
  const auto checked = CheckedChunks::create("f", file, hashes).value();
  EXPECT_TRUE(checked->check(file.first(10)));
  bytes[chunk + 9] = std::byte{8};
  EXPECT_TRUE(checked->check(file.first(chunk)));
  EXPECT_TRUE(checked->check(file.last(5)));
  EXPECT_FALSE(checked->check(file.first(chunk + 1)));
  EXPECT_FALSE(checked->check(file.subspan(2 * chunk - 1, 3)));
  EXPECT_FALSE(CheckedChunks::create("f", file, {1, 2}));
}

TEST(Manifest, FindsEveryFlippedBit) {
  Manifest manifest;
  manifest.lotse = "0.1.0";
  manifest.target = "cpu";
  manifest.is_complete = true;
  manifest.files = {{"model.safetensors", {123, std::string(64, 'a'), {1, 2, 3}}}};
  manifest.tensors = {{"a.weight", "bf16", "w8a8", 10, 5, {0.01, 0.999, 0.5}, "kept"}};
  const std::string text = render_manifest(manifest);
  ASSERT_TRUE(parse_manifest(text, "test"));
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      EXPECT_FALSE(parse_manifest(flipped, "test")) << flipped;
    }
    EXPECT_FALSE(parse_manifest(text.substr(0, at), "test")) << at;
  }
  EXPECT_FALSE(parse_manifest(text + "\n", "test"));
}

TEST_F(ArtifactCheck, FindsTruncatedMissingAndAddedFiles) {
  for (const auto& [name, bytes] : files_) {
    for (const size_t size : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      write_bytes(out_ / name, bytes.substr(0, size));
      EXPECT_NE(message_for(name, CheckDepth::sizes), "") << name << " of " << size;
    }
    write_bytes(out_ / name, bytes + "x");
    EXPECT_NE(message_for(name, CheckDepth::sizes), "") << name;
    fs::remove(out_ / name);
    EXPECT_NE(message_for(name, CheckDepth::sizes), "") << name;
    write_bytes(out_ / name, bytes);
  }
  for (const char* name : {"model.safetensors", "model-00009-of-00009.safetensors",
                           "special_tokens_map.json", "template.jinja"}) {
    write_bytes(out_ / name, "{}");
    EXPECT_NE(message_for(name, CheckDepth::sizes), "");
    fs::remove(out_ / name);
  }
  write_bytes(out_ / "README.md", "notes are no part of the model");
  EXPECT_TRUE(check_artifact(out_));
}

TEST_F(ArtifactCheck, RefusesAnUnfinishedPort) {
  Manifest manifest = read_manifest(out_).value();
  manifest.is_complete = false;
  write_bytes(out_ / kManifestName, render_manifest(manifest));
  EXPECT_NE(message_for("not finished"), "");
}

TEST_F(ArtifactCheck, RefusesFilesOutsideTheFolder) {
  Manifest manifest = read_manifest(out_).value();
  for (const char* name : {"../model/config.json", "/etc/passwd", "a/../../b", "", "."}) {
    manifest.files.front().name = name;
    write_bytes(out_ / kManifestName, render_manifest(manifest));
    EXPECT_NE(message_for("files[0]"), "") << name;
  }
}

TEST_F(ArtifactCheck, ListsEveryFileAndReportsEveryTensor) {
  const Manifest manifest = read_manifest(out_).value();
  EXPECT_EQ(manifest.files.size() + 1, files_.size());
  const Checkpoint original = open_checkpoint(golden("mixtral")).value();
  ASSERT_EQ(manifest.tensors.size(), original.weights->tensors().size());
  for (const TensorReport& tensor : manifest.tensors) {
    const TensorInfo* info = original.weights->find(tensor.name);
    ASSERT_NE(info, nullptr) << tensor.name;
    EXPECT_EQ(tensor.from, name(info->dtype));
    EXPECT_EQ(tensor.bytes_in, info->bytes);
    EXPECT_GT(tensor.error.relative_rms, 0) << "fp32 random weights are never exact";
    EXPECT_LT(tensor.error.relative_rms, tensor.to == "bf16" ? 2.5e-3 : 1.5e-2) << tensor.name;
    EXPECT_GT(tensor.error.cosine, 0.9998);
  }
  const Checkpoint ported = open_checkpoint(out_).value();
  int64_t bytes = 0;
  for (const TensorInfo& info : ported.weights->tensors()) bytes += info.bytes;
  EXPECT_EQ(manifest_report(manifest).at("bytes_out").get<int64_t>(), bytes);
}

TEST(Manifest, HashesChunksOfAFile) {
  const ScratchFolder scratch;
  std::string bytes(static_cast<size_t>(2 * kChunkBytes + 5), 'a');
  bytes[static_cast<size_t>(kChunkBytes)] = 'b';
  HashedFile file = HashedFile::create(scratch.path() / "f", FileCalls::system()).value();
  ASSERT_TRUE(file.write(std::string_view(bytes).substr(0, 1000)));
  ASSERT_TRUE(file.write(std::string_view(bytes).substr(1000)));
  const FileHashes written = file.commit().value();
  EXPECT_EQ(read_bytes(scratch.path() / "f"), bytes);
  EXPECT_EQ(written, hash_file(scratch.path() / "f").value());
  const auto all = std::as_bytes(std::span(bytes.data(), bytes.size()));
  EXPECT_EQ(written.sha256, sha256_hex(all));
  ASSERT_EQ(written.chunks.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const size_t begin = i * static_cast<size_t>(kChunkBytes);
    const size_t size = std::min(static_cast<size_t>(kChunkBytes), bytes.size() - begin);
    EXPECT_EQ(written.chunks[i], xxh3(all.subspan(begin, size)));
  }
}

}  // namespace
}  // namespace lotse
