// The ranks of the tests of collectives: threads of this process, or this program started again.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "collective_cases.h"
#include "support.h"

namespace emulator_test {

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Descriptors and mappings of communicators' shared memory in this process.
inline int shared_memory_count() {
  int count = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("hccl-communicator") != std::string::npos) ++count;
  }
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code none;
    const auto target = std::filesystem::read_symlink(entry.path(), none).string();
    if (target.find("hccl-communicator") != std::string::npos) ++count;
  }
  return count;
}

// All ranks of one process, one device each.
class Team {
 public:
  explicit Team(uint32_t ranks) : members_(ranks) {
    std::vector<int32_t> devices(ranks);
    std::vector<HcclComm> comms(ranks);
    for (uint32_t i = 0; i < ranks; ++i) devices[i] = static_cast<int32_t>(i);
    EXPECT_EQ(HcclCommInitAll(ranks, devices.data(), comms.data()), 0) << recent_error();
    for (uint32_t i = 0; i < ranks; ++i) {
      on(i);
      members_[i] = {i, ranks, comms[i], nullptr};
      EXPECT_EQ(aclrtCreateStream(&members_[i].stream), 0);
    }
  }
  ~Team() {
    for (const Rank& member : members_) {
      if (member.comm != nullptr) {
        EXPECT_EQ(HcclCommDestroy(member.comm), 0);
      }
      EXPECT_EQ(aclrtDestroyStream(member.stream), 0);
    }
    on(0);
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Makes rank i's device the thread's.
  const Rank& on(uint32_t i) const {
    EXPECT_EQ(aclrtSetDevice(static_cast<int32_t>(i)), 0);
    return members_[i];
  }
  void destroy_communicator(uint32_t i) {
    EXPECT_EQ(HcclCommDestroy(members_[i].comm), 0);
    members_[i].comm = nullptr;
  }
  // Runs `body` for every rank on a thread of its own.
  void run(const std::function<void(const Rank&)>& body) const {
    std::vector<std::jthread> threads;
    for (uint32_t i = 0; i < members_.size(); ++i) {
      threads.emplace_back([this, i, &body] { body(on(i)); });
    }
  }
  uint32_t size() const { return static_cast<uint32_t>(members_.size()); }

 private:
  std::vector<Rank> members_;
};

class CollectiveTest : public DeviceTest {
 protected:
  ~CollectiveTest() override { EXPECT_EQ(shared_memory_count(), 0); }
};

// Another process that runs `scenario` as one rank; it reads the root info from its input.
class Process {
 public:
  Process(const char* scenario, uint32_t rank, uint32_t ranks, const HcclRootInfo& info) {
    int input[2] = {};
    int output[2] = {};
    EXPECT_EQ(pipe2(input, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    posix_spawn_file_actions_adddup2(&actions, output[1], 2);
    const std::string numbers[] = {std::to_string(rank), std::to_string(ranks)};
    const char* arguments[] = {"/proc/self/exe",   "--rank",           scenario,
                               numbers[0].c_str(), numbers[1].c_str(), nullptr};
    EXPECT_EQ(posix_spawn(&process_, "/proc/self/exe", &actions, nullptr,
                          const_cast<char* const*>(arguments), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    output_ = output[0];
    EXPECT_EQ(write(input[1], &info, sizeof info), static_cast<ssize_t>(sizeof info));
    close(input[1]);
  }
  ~Process() {
    if (process_ > 0) finish();
    close(output_);
  }
  Process(Process&& other) noexcept
      : process_(std::exchange(other.process_, -1)), output_(std::exchange(other.output_, -1)) {}

  // Its exit status, or minus the signal that ended it; all that it said is in `text`.
  int finish() {
    char part[4096];
    for (ssize_t size = 0; (size = read(output_, part, sizeof part)) > 0;) {
      text.append(part, static_cast<size_t>(size));
    }
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  std::string text;

 private:
  pid_t process_ = -1;
  int output_ = -1;
};

inline std::vector<Process> start(const char* scenario, uint32_t ranks) {
  HcclRootInfo info = {};
  EXPECT_EQ(HcclGetRootInfo(&info), 0) << recent_error();
  std::vector<Process> processes;
  for (uint32_t rank = 0; rank < ranks; ++rank) processes.emplace_back(scenario, rank, ranks, info);
  return processes;
}

}  // namespace emulator_test
