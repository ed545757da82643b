// The port command's contract as a whole: same bytes, resume, refusals, one at a time.
#include "port/port.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

class PortTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = copy_model(scratch_.path(), "llama_sharded");
    settings_.shard_bytes = 20'000;
  }

  std::string refusal(const fs::path& model, const fs::path& out) const {
    const auto result = port(model, out, settings_);
    return result ? "" : result.error().message;
  }

  ScratchFolder scratch_;
  PortSettings settings_;
  fs::path model_;
  fs::path out_ = scratch_.path() / "out";
};

TEST_F(PortTest, CopiesCompanionsByteForByteAndLeavesTheModelAlone) {
  const auto before = contents(model_);
  ASSERT_TRUE(port(model_, out_, settings_));
  for (const char* name :
       {"tokenizer.json", "chat_template.jinja", "additional_chat_templates/tools.jinja"}) {
    EXPECT_EQ(read_bytes(out_ / name), before.at(name)) << name;
  }
  EXPECT_EQ(contents(model_), before);
  for (const auto& [name, bytes] : contents(out_)) {
    if (name.ends_with(".safetensors")) {
      EXPECT_LT(bytes.size(), size_t{24'000}) << name;
    }
  }
}

TEST_F(PortTest, GivesTheSameBytesWhateverTheThreads) {
  settings_.threads = 1;
  ASSERT_TRUE(port(model_, out_, settings_));
  settings_.threads = 5;
  ASSERT_TRUE(port(model_, scratch_.path() / "other", settings_));
  EXPECT_EQ(contents(out_), contents(scratch_.path() / "other"));
}

TEST_F(PortTest, IsDoneWhenOutIsThisVeryPort) {
  ASSERT_TRUE(port(model_, out_, settings_));
  const auto first = contents(out_);
  const auto again = port(model_, out_, settings_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->was_done);
  EXPECT_EQ(contents(out_), first);
}

TEST_F(PortTest, RefusesAnOutThatIsSomethingElse) {
  ASSERT_TRUE(port(model_, out_, settings_));
  const auto first = contents(out_);
  settings_.quant = WeightFormat::bf16;
  EXPECT_NE(refusal(model_, out_).find("another port"), std::string::npos);
  settings_.quant = WeightFormat::w8a8;
  // Another source: one weight's low bit.
  const fs::path shard = model_ / "model-00002-of-00002.safetensors";
  std::string bytes = read_bytes(shard);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(shard, bytes);
  EXPECT_NE(refusal(model_, out_).find("other files"), std::string::npos);
  EXPECT_EQ(contents(out_), first);
  // A damaged artifact.
  write_bytes(out_ / "config.json", "{}");
  EXPECT_NE(refusal(model_, out_).find("config.json"), std::string::npos);
  // A file, and an ordinary folder.
  write_bytes(scratch_.path() / "file", "x");
  EXPECT_NE(refusal(model_, scratch_.path() / "file").find("exists"), std::string::npos);
  fs::create_directory(scratch_.path() / "folder");
  EXPECT_NE(refusal(model_, scratch_.path() / "folder").find("exists"), std::string::npos);
  EXPECT_EQ(read_bytes(scratch_.path() / "file"), "x");
}

TEST_F(PortTest, RefusesAnOutThatOverlapsTheModel) {
  const auto before = contents(model_);
  for (const fs::path& out : {model_, model_ / "", model_ / "out", model_ / "a" / ".." / "out",
                              scratch_.path(), scratch_.path() / "model" / "."}) {
    EXPECT_NE(refusal(model_, out).find("overlaps"), std::string::npos) << out;
  }
  // The folder that a port would work in must not be the model either.
  const fs::path renamed = scratch_.path() / "m.partial";
  fs::rename(model_, renamed);
  EXPECT_NE(refusal(renamed, scratch_.path() / "m").find("overlaps"), std::string::npos);
  fs::create_directory_symlink(renamed, scratch_.path() / "link");
  EXPECT_NE(refusal(renamed, scratch_.path() / "link" / "out").find("overlaps"), std::string::npos);
  EXPECT_EQ(contents(renamed), before);
  EXPECT_NE(refusal(renamed, scratch_.path() / "no" / "where").find("create it first"),
            std::string::npos);
}

TEST_F(PortTest, TakesAnOutRelativeToTheCurrentFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(scratch_.path());
  const auto result = port(model_, "relative", settings_);
  fs::current_path(before);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(fs::exists(scratch_.path() / "relative" / "lotse.json"));
}

TEST_F(PortTest, LeavesAFolderInTheWayAlone) {
  const fs::path partial = out_.string() + ".partial";
  fs::create_directory(partial);
  write_bytes(partial / "thesis.txt", "years of work");
  EXPECT_NE(refusal(model_, out_).find("in the way"), std::string::npos);
  EXPECT_EQ(read_bytes(partial / "thesis.txt"), "years of work");
  fs::remove_all(partial);
  write_bytes(partial, "a file");
  EXPECT_NE(refusal(model_, out_).find("in the way"), std::string::npos);
  EXPECT_EQ(read_bytes(partial), "a file");
}

// Stops a port by failing the `count`-th rename.
class StopAtRename : public FileCalls {
 public:
  explicit StopAtRename(int count) : left_(count) {}
  int rename(const char* from, const char* to) override {
    errno = EIO;
    return --left_ < 0 ? -1 : FileCalls::rename(from, to);
  }

 private:
  int left_;
};

class PortResume : public PortTest {
 protected:
  void SetUp() override {
    PortTest::SetUp();
    ASSERT_TRUE(port(model_, scratch_.path() / "expected", settings_));
    StopAtRename stop(6);
    settings_.calls = &stop;
    ASSERT_FALSE(port(model_, out_, settings_));
    settings_.calls = nullptr;
    ASSERT_TRUE(fs::exists(partial_ / "model-00002-of-00005.safetensors")) << "two shards done";
  }

  void expect_port(int64_t resumed) {
    const auto result = port(model_, out_, settings_);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->resumed_files, resumed);
    EXPECT_FALSE(result->was_done);
    EXPECT_FALSE(fs::exists(partial_));
  }

  fs::path partial_ = out_.string() + ".partial";
};

TEST_F(PortResume, TakesFinishedShardsOver) {
  write_bytes(partial_ / "model-00003-of-00005.safetensors.partial", "left by a killed port");
  expect_port(2);
  EXPECT_EQ(contents(out_), contents(scratch_.path() / "expected"));
}

TEST_F(PortResume, StartsAfreshWhenAFinishedShardChanged) {
  const fs::path shard = partial_ / "model-00001-of-00005.safetensors";
  std::string bytes = read_bytes(shard);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 16);
  write_bytes(shard, bytes);
  expect_port(0);
  EXPECT_EQ(contents(out_), contents(scratch_.path() / "expected"));
}

TEST_F(PortResume, StartsAfreshWhenTheSourceChanged) {
  const fs::path shard = model_ / "model-00001-of-00002.safetensors";
  std::string bytes = read_bytes(shard);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(shard, bytes);
  expect_port(0);
  EXPECT_TRUE(check_artifact(out_));
}

TEST_F(PortResume, StartsAfreshForOtherOptions) {
  settings_.quant = WeightFormat::bf16;
  expect_port(0);
  EXPECT_EQ(read_manifest(out_).value().quant, "bf16");
}

TEST_F(PortTest, OnePortAtATime) {
  // Another process holds the lock.
  const std::string lock = out_.string() + ".partial.lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::flock(fd, LOCK_EX | LOCK_NB), 0);
  EXPECT_NE(refusal(model_, out_).find("another `lotse port`"), std::string::npos);
  EXPECT_FALSE(fs::exists(out_));
  ::close(fd);
  EXPECT_EQ(refusal(model_, out_), "");
}

TEST_F(PortTest, ConcurrentPortsNeverSpoilEachOther) {
  settings_.threads = 1;
  ASSERT_TRUE(port(model_, scratch_.path() / "expected", settings_));
  const auto expected = contents(scratch_.path() / "expected");
  for (int round = 0; round < 10; ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(port(model_, out_, settings_) ? 0 : 1);
      children.push_back(child);
    }
    int succeeded = 0;
    for (const pid_t child : children) {
      int status = 0;
      ::waitpid(child, &status, 0);
      ASSERT_TRUE(WIFEXITED(status));
      succeeded += WEXITSTATUS(status) == 0;
    }
    EXPECT_GE(succeeded, 1);
    EXPECT_EQ(contents(out_), expected);
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
    EXPECT_FALSE(fs::exists(out_.string() + ".partial.lock"));
    fs::remove_all(out_);
  }
}

TEST_F(PortTest, NamesATensorThatIsNotFinite) {
  const fs::path shard = model_ / "model-00002-of-00002.safetensors";
  std::string bytes = read_bytes(shard);
  bytes[bytes.size() - 1] = '\x7f';
  bytes[bytes.size() - 2] = '\xc0';  // the last fp32 becomes NaN
  write_bytes(shard, bytes);
  const std::string message = refusal(model_, out_);
  EXPECT_NE(message.find("must be finite"), std::string::npos) << message;
  EXPECT_NE(message.find("tensor model."), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace lotse
