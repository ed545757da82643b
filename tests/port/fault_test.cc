// Full disks, I/O errors and short writes at every call, and the order of syncs and renames.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

// Fails the calls from number `first` on: one of them, or all.
class FaultyCalls : public FileCalls {
 public:
  FaultyCalls(int64_t first, bool is_lasting, int error)
      : first_(first), is_lasting_(is_lasting), error_(error) {}

  int open(const char* path, int flags, unsigned mode) override {
    return fails() ? -1 : FileCalls::open(path, flags, mode);
  }
  int64_t write(int fd, const void* data, size_t size) override {
    if (!fails()) return FileCalls::write(fd, data, size);
    // A disk fills in the middle of a write: part of it arrives.
    FileCalls::write(fd, data, size / 2);
    errno = error_;
    return -1;
  }
  int fsync(int fd) override { return fails() ? -1 : FileCalls::fsync(fd); }
  int close(int fd) override {
    const int result = FileCalls::close(fd);
    return fails() ? -1 : result;
  }
  int rename(const char* from, const char* to) override {
    return fails() ? -1 : FileCalls::rename(from, to);
  }
  int unlink(const char* path) override { return fails() ? -1 : FileCalls::unlink(path); }
  int mkdir(const char* path, unsigned mode) override {
    return fails() ? -1 : FileCalls::mkdir(path, mode);
  }

  int64_t calls() const { return calls_; }

 private:
  bool fails() {
    const int64_t call = calls_++;
    if (call != first_ && !(is_lasting_ && call > first_)) return false;
    errno = error_;
    return true;
  }

  int64_t first_;
  bool is_lasting_;
  int error_;
  int64_t calls_ = 0;
};

class ShortWrites : public FileCalls {
 public:
  int64_t write(int fd, const void* data, size_t size) override {
    if (++calls_ % 5 == 0) {
      errno = EINTR;
      return -1;
    }
    return FileCalls::write(fd, data,
                            std::min<size_t>(size, 1 + static_cast<size_t>(calls_ % 4096)));
  }

 private:
  int64_t calls_ = 0;
};

class PortFaults : public testing::Test {
 protected:
  void SetUp() override {
    settings_.shard_bytes = 20'000;
    settings_.threads = 1;
    model_ = copy_model(scratch_.path(), "llama_sharded");
    model_before_ = contents(model_);
    ASSERT_TRUE(port(model_, scratch_.path() / "expected", settings_));
    expected_ = contents(scratch_.path() / "expected");
    ASSERT_GT(std::ranges::count_if(
                  expected_, [](const auto& file) { return file.first.ends_with(".safetensors"); }),
              3);
  }

  void expect_absent_or_valid() const {
    if (!fs::exists(out_)) return;
    EXPECT_TRUE(check_artifact(out_));
    EXPECT_EQ(contents(out_), expected_);
  }

  // Whatever happened before, an ordinary port now succeeds and leaves nothing beside OUT.
  void expect_rerun_succeeds() {
    const auto again = port(model_, out_, settings_);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(contents(out_), expected_);
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
    EXPECT_FALSE(fs::exists(out_.string() + ".partial.lock"));
    EXPECT_EQ(contents(model_), model_before_);
    fs::remove_all(out_);
  }

  ScratchFolder scratch_;
  PortSettings settings_;
  fs::path model_;
  fs::path out_ = scratch_.path() / "out";
  std::map<std::string, std::string> model_before_;
  std::map<std::string, std::string> expected_;
};

TEST_F(PortFaults, AnyFailingCallLeavesOutAbsentOrValid) {
  FaultyCalls counter(-1, false, 0);
  settings_.calls = &counter;
  ASSERT_TRUE(port(model_, out_, settings_));
  fs::remove_all(out_);
  ASSERT_GT(counter.calls(), 60);
  int64_t errors = 0;
  for (int64_t first = 0; first < counter.calls(); ++first) {
    // A disk that is full stays full; an I/O error may happen once.
    for (const bool is_lasting : {false, true}) {
      const int error = is_lasting ? ENOSPC : EIO;
      FaultyCalls faulty(first, is_lasting, error);
      settings_.calls = &faulty;
      const auto result = port(model_, out_, settings_);
      if (!result) {
        ++errors;
        EXPECT_EQ(result.error().code, ErrorCode::io) << result.error().message;
        EXPECT_NE(result.error().message.find(std::strerror(error)), std::string::npos)
            << result.error().message;
        EXPECT_NE(result.error().message.find(scratch_.path().string()), std::string::npos);
      }
      expect_absent_or_valid();
      settings_.calls = nullptr;
      expect_rerun_succeeds();
      if (HasFailure()) FAIL() << "call " << first << (is_lasting ? " and all later" : "");
    }
  }
  // The calls whose failure does no harm are few: the lock's removal, closing after a sync.
  EXPECT_GT(errors, 2 * counter.calls() * 8 / 10);
}

TEST_F(PortFaults, ShortAndInterruptedWritesAreContinued) {
  ShortWrites calls;
  settings_.calls = &calls;
  const auto result = port(model_, out_, settings_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(contents(out_), expected_);
}

TEST_F(PortFaults, ADiskThatFillsKeepsFinishedShardsForTheNextRun) {
  FaultyCalls counter(-1, false, 0);
  settings_.calls = &counter;
  ASSERT_TRUE(port(model_, out_, settings_));
  fs::remove_all(out_);
  FaultyCalls full(counter.calls() / 2, true, ENOSPC);
  settings_.calls = &full;
  ASSERT_FALSE(port(model_, out_, settings_));
  settings_.calls = nullptr;
  const auto again = port(model_, out_, settings_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_GT(again->resumed_files, 0);
  EXPECT_EQ(contents(out_), expected_);
}

// Checks that nothing is renamed before it is on the disk, and every rename reaches the disk.
class OrderedCalls : public FileCalls {
 public:
  int open(const char* path, int flags, unsigned mode) override {
    const int fd = FileCalls::open(path, flags, mode);
    if (fd >= 0) paths_[fd] = path;
    return fd;
  }
  int64_t write(int fd, const void* data, size_t size) override {
    unsynced_.insert(paths_.at(fd));
    return FileCalls::write(fd, data, size);
  }
  int fsync(int fd) override {
    unsynced_.erase(paths_.at(fd));
    unsynced_folders_.erase(paths_.at(fd));
    return FileCalls::fsync(fd);
  }
  int close(int fd) override {
    paths_.erase(fd);
    return FileCalls::close(fd);
  }
  int rename(const char* from, const char* to) override {
    ++renames_;
    EXPECT_FALSE(unsynced_.contains(from)) << from << " renamed before it was synced";
    for (const std::string& folder : unsynced_folders_) {
      EXPECT_NE(folder, from) << from << " renamed before its entries were synced";
    }
    unsynced_folders_.insert(fs::path(to).parent_path().string());
    return FileCalls::rename(from, to);
  }

  int renames() const { return renames_; }
  const std::set<std::string>& unsynced_folders() const { return unsynced_folders_; }

 private:
  std::map<int, std::string> paths_;
  std::set<std::string> unsynced_;
  std::set<std::string> unsynced_folders_;
  int renames_ = 0;
};

TEST_F(PortFaults, EverythingIsSyncedBeforeItIsRenamedAndAfter) {
  OrderedCalls calls;
  settings_.calls = &calls;
  ASSERT_TRUE(port(model_, out_, settings_));
  EXPECT_GT(calls.renames(), 10);
  EXPECT_TRUE(calls.unsynced_folders().empty()) << *calls.unsynced_folders().begin();
}

}  // namespace
}  // namespace lotse
