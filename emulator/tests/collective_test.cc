// Collectives: values between threads and between processes, virtual time, graphs, and every way in
// which a rank can fail the others. A program of its own, since it needs four devices and starts
// itself again as other ranks.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "aclnnop/elementwise.h"
#include "collective_cases.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Descriptors and mappings of communicators' shared memory in this process.
int shared_memory_count() {
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
      if (member.comm != nullptr) EXPECT_EQ(HcclCommDestroy(member.comm), 0);
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
class CollectiveRanksTest : public CollectiveTest, public testing::WithParamInterface<uint32_t> {};

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

std::vector<Process> start(const char* scenario, uint32_t ranks) {
  HcclRootInfo info = {};
  EXPECT_EQ(HcclGetRootInfo(&info), 0) << recent_error();
  std::vector<Process> processes;
  for (uint32_t rank = 0; rank < ranks; ++rank) processes.emplace_back(scenario, rank, ranks, info);
  return processes;
}

TEST_P(CollectiveRanksTest, ValuesBetweenThreads) {
  const Team team(GetParam());
  team.run([](const Rank& self) { check_all_operations(self); });
}

TEST_P(CollectiveRanksTest, ValuesBetweenProcesses) {
  auto processes = start("values", GetParam());
  for (Process& process : processes) EXPECT_EQ(process.finish(), 0) << process.text;
}

INSTANTIATE_TEST_SUITE_P(Ranks, CollectiveRanksTest, testing::Values(1, 2, 4));

TEST_F(CollectiveTest, ThreadsMeetThroughRootInfo) {
  HcclRootInfo info = {};
  ASSERT_EQ(HcclGetRootInfo(&info), 0);
  std::vector<std::jthread> threads;
  std::vector<std::string> names(3);
  for (uint32_t rank = 0; rank < 3; ++rank) {
    threads.emplace_back([rank, &info, &names] {
      ASSERT_EQ(aclrtSetDevice(static_cast<int32_t>(rank)), 0);
      Rank self = {rank, 3, nullptr, nullptr};
      ASSERT_EQ(HcclCommInitRootInfo(3, &info, rank, &self.comm), 0) << recent_error();
      uint32_t size = 0, id = 0;
      EXPECT_EQ(HcclGetRankSize(self.comm, &size), 0);
      EXPECT_EQ(HcclGetRankId(self.comm, &id), 0);
      EXPECT_EQ(size, 3u);
      EXPECT_EQ(id, rank);
      char name[COMM_NAME_MAX_LENGTH];
      EXPECT_EQ(HcclGetCommName(self.comm, name), 0);
      names[rank] = name;
      EXPECT_EQ(sum_ones(self, 100), 0) << recent_error();
      EXPECT_EQ(HcclCommDestroy(self.comm), 0);
    });
  }
  threads.clear();
  EXPECT_EQ(names[0], names[1]);
  EXPECT_EQ(names[0], names[2]);
  EXPECT_THAT(names[0], HasSubstr("hccl-"));
  // The root info is used up.
  HcclComm comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfo(3, &info, 0, &comm), HCCL_E_TIMEOUT);
  EXPECT_THAT(recent_error(), HasSubstr("its communicator is complete"));
}

// One thread issues for every rank; nothing may wait for another rank before the synchronise.
TEST_F(CollectiveTest, IssuingNeverWaits) {
  const Team team(4);
  std::vector<Tensor> tensors;
  for (uint32_t i = 0; i < 4; ++i) {
    const Rank& self = team.on(i);
    tensors.emplace_back(ACL_FLOAT, Shape{8}, std::vector<double>(8, i + 1));
    for (int times = 0; times < 3; ++times) {
      ASSERT_EQ(HcclAllReduce(tensors[i].data(), tensors[i].data(), 8, HCCL_DATA_TYPE_FP32,
                              HCCL_REDUCE_SUM, self.comm, self.stream),
                0);
    }
  }
  for (uint32_t i = 0; i < 4; ++i) {
    ASSERT_EQ(aclrtSynchronizeStream(team.on(i).stream), 0) << recent_error();
    EXPECT_THAT(tensors[i].fetch(), testing::Each(160));
  }
}

// Each rank issues two operations on two streams, of which another one is late on each rank.
TEST_F(CollectiveTest, StreamsMayRunInAnyOrder) {
  const Team team(2);
  team.run([](const Rank& self) {
    aclrtStream other = nullptr;
    ASSERT_EQ(aclrtCreateStream(&other), 0);
    for (int round = 0; round < 20; ++round) {
      const Tensor slow(ACL_FLOAT, {200'000}, std::vector<double>(200'000, 0.5));
      const Tensor a(ACL_FLOAT, {4}, std::vector<double>(4, self.rank + 1)),
          b(ACL_FLOAT, {4}, std::vector<double>(4, 10 * (self.rank + 1)));
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(slow, &size, &executor), 0);
      ASSERT_EQ(aclnnInplaceExp(nullptr, 0, executor, self.rank == 0 ? self.stream : other), 0);
      ASSERT_EQ(HcclAllReduce(a.data(), a.data(), 4, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM,
                              self.comm, self.stream),
                0);
      ASSERT_EQ(HcclAllReduce(b.data(), b.data(), 4, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM,
                              self.comm, other),
                0);
      ASSERT_EQ(aclrtSynchronizeStream(self.stream), 0) << recent_error();
      ASSERT_EQ(aclrtSynchronizeStream(other), 0) << recent_error();
      EXPECT_THAT(a.fetch(), testing::Each(3));
      EXPECT_THAT(b.fetch(), testing::Each(30));
    }
    EXPECT_EQ(aclrtDestroyStream(other), 0);
  });
}

// 1 MiB over four of the eight 910B3 of a mesh: three of a device's seven links of 28 GB/s.
TEST_F(CollectiveTest, AllRanksEndAtTheLinksTime) {
  const Team team(4);
  constexpr int64_t kCount = 1 << 18;
  std::vector<Tensor> tensors;
  std::vector<aclrtEvent> starts(4), ends(4);
  for (uint32_t i = 0; i < 4; ++i) {
    const Rank& self = team.on(i);
    tensors.emplace_back(ACL_FLOAT, Shape{kCount}, std::vector<double>(kCount, 1));
    ASSERT_EQ(aclrtCreateEvent(&starts[i]), 0);
    ASSERT_EQ(aclrtCreateEvent(&ends[i]), 0);
    ASSERT_EQ(aclrtRecordEvent(starts[i], self.stream), 0);
    ASSERT_EQ(HcclAllReduce(tensors[i].data(), tensors[i].data(), kCount, HCCL_DATA_TYPE_FP32,
                            HCCL_REDUCE_SUM, self.comm, self.stream),
              0);
    ASSERT_EQ(aclrtRecordEvent(ends[i], self.stream), 0);
  }
  for (aclrtEvent end : ends) ASSERT_EQ(aclrtSynchronizeEvent(end), 0) << recent_error();
  const double expected_us = 2.0 * 3 / 4 * 4 * kCount / (3 * 28e3) + 0.5;
  for (aclrtEvent end : ends) {
    float ms = 0;
    ASSERT_EQ(aclrtEventElapsedTime(&ms, starts[3], end), 0) << recent_error();
    // The last call follows the record by half a microsecond.
    EXPECT_NEAR(ms * 1e3, expected_us + 0.5, 0.02);
  }
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(aclrtDestroyEvent(starts[i]), 0);
    EXPECT_EQ(aclrtDestroyEvent(ends[i]), 0);
  }
}

TEST_F(CollectiveTest, GraphsReplay) {
  const Team team(2);
  team.run([](const Rank& self) {
    const Tensor x(ACL_FLOAT, {5}, std::vector<double>(5, 1));
    aclmdlRI graph = nullptr;
    ASSERT_EQ(aclmdlRICaptureBegin(self.stream, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL), 0);
    ASSERT_EQ(HcclAllReduce(x.data(), x.data(), 5, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, self.comm,
                            self.stream),
              0);
    ASSERT_EQ(aclmdlRICaptureEnd(self.stream, &graph), 0) << recent_error();
    for (int i = 0; i < 5; ++i) ASSERT_EQ(aclmdlRIExecuteAsync(graph, self.stream), 0);
    ASSERT_EQ(aclrtSynchronizeStream(self.stream), 0) << recent_error();
    EXPECT_THAT(x.fetch(), testing::Each(32));
    EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  });
}

// Every rank is told the same, and the communicator is of no more use.
TEST_F(CollectiveTest, DifferentCallsAreNamed) {
  struct Mismatch {
    const char* text;
    std::function<int(const Rank&, void*)> call;
  };
  const auto count_of = [](const Rank& self) { return uint64_t{4} + (self.rank == 1 ? 4 : 0); };
  const std::vector<Mismatch> mismatches = {
      {"rank 0 calls HcclAllReduce(count 4, FP32, SUM), but rank 1 calls HcclAllReduce(count 8, "
       "FP32, SUM)",
       [&](const Rank& self, void* x) {
         return HcclAllReduce(x, x, count_of(self), HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, self.comm,
                              self.stream);
       }},
      {"but rank 1 calls HcclAllReduce(count 4, INT32, SUM)",
       [](const Rank& self, void* x) {
         return HcclAllReduce(x, x, 4, self.rank == 1 ? HCCL_DATA_TYPE_INT32 : HCCL_DATA_TYPE_FP32,
                              HCCL_REDUCE_SUM, self.comm, self.stream);
       }},
      {"but rank 1 calls HcclAllReduce(count 4, FP32, MAX)",
       [](const Rank& self, void* x) {
         return HcclAllReduce(x, x, 4, HCCL_DATA_TYPE_FP32,
                              self.rank == 1 ? HCCL_REDUCE_MAX : HCCL_REDUCE_SUM, self.comm,
                              self.stream);
       }},
      {"rank 0 calls HcclBroadcast(count 4, FP32, root 0), but rank 1 calls HcclBarrier()",
       [](const Rank& self, void* x) {
         return self.rank == 1
                    ? HcclBarrier(self.comm, self.stream)
                    : HcclBroadcast(x, 4, HCCL_DATA_TYPE_FP32, 0, self.comm, self.stream);
       }},
      {"rank 0 calls HcclBroadcast(count 4, FP32, root 0), but rank 1 calls HcclBroadcast(count 4, "
       "FP32, root 1)",
       [](const Rank& self, void* x) {
         return HcclBroadcast(x, 4, HCCL_DATA_TYPE_FP32, self.rank == 1 ? 1 : 0, self.comm,
                              self.stream);
       }},
      {"rank 0 sends 3 elements to rank 1, which receives 2",
       [](const Rank& self, void* x) {
         const uint64_t send[] = {1, 3, 0}, receive[] = {self.rank == 0 ? 1u : 2u, 0, 0},
                        at[] = {0, 4, 0}, none[] = {0, 0, 0}, self_only[] = {1, 0, 0};
         if (self.rank == 0) {
           return HcclAlltoAllV(x, send, at, HCCL_DATA_TYPE_FP32, x, self_only, at,
                                HCCL_DATA_TYPE_FP32, self.comm, self.stream);
         }
         return HcclAlltoAllV(x, none, at, HCCL_DATA_TYPE_FP32, x, self.rank == 1 ? receive : none,
                              at, HCCL_DATA_TYPE_FP32, self.comm, self.stream);
       }},
  };
  for (const Mismatch& mismatch : mismatches) {
    const Team team(3);
    team.run([&](const Rank& self) {
      const Memory x(64);
      ASSERT_EQ(mismatch.call(self, x.get()), 0) << recent_error();
      EXPECT_EQ(aclrtSynchronizeStream(self.stream), 507018);
      EXPECT_THAT(recent_error(), testing::AllOf(HasSubstr("EI0005"), HasSubstr(mismatch.text)));
      HcclResult state = 0;
      EXPECT_EQ(HcclGetCommAsyncError(self.comm, &state), 0);
      EXPECT_EQ(state, HCCL_E_REMOTE);
    });
  }
}

TEST_F(CollectiveTest, SendAndReceiveOfDifferentCounts) {
  const Team team(2);
  team.run([](const Rank& self) {
    const Memory x(64);
    EXPECT_EQ(self.rank == 0 ? HcclSend(x.get(), 4, HCCL_DATA_TYPE_FP32, 1, self.comm, self.stream)
                             : HcclRecv(x.get(), 3, HCCL_DATA_TYPE_FP32, 0, self.comm, self.stream),
              0);
    EXPECT_EQ(aclrtSynchronizeStream(self.stream), 507018);
    EXPECT_THAT(recent_error(), HasSubstr("rank 0 calls HcclSend(count 4, FP32), but rank 1 calls "
                                          "HcclRecv(count 3, FP32)"));
  });
}

TEST_F(CollectiveTest, ARankThatNeverComesIsATimeOut) {
  const Environment patience("HCCL_EXEC_TIMEOUT", "1");
  const Team team(2);
  const Rank& self = team.on(0);
  const auto begin = Clock::now();
  EXPECT_EQ(sum_ones(self, 10), 507048);
  EXPECT_THAT(recent_error(),
              testing::AllOf(HasSubstr("HcclAllReduce failed on stream"), HasSubstr("EI0002"),
                             HasSubstr("rank 0 waits for rank 1, which did not come in time"),
                             HasSubstr("HCCL_EXEC_TIMEOUT"), HasSubstr("waited 1.")));
  EXPECT_GE(seconds_since(begin), 1);
  EXPECT_LT(seconds_since(begin), 5);
  // For the late rank all data is there; its next operation is told why at once.
  EXPECT_EQ(sum_ones(team.on(1), 10), 0) << recent_error();
  EXPECT_EQ(sum_ones(team.on(1), 10), 507018);
  EXPECT_THAT(recent_error(), testing::AllOf(HasSubstr("rank 0, which gave up"),
                                             HasSubstr("rank 1, which did not come in time")));
}

TEST_F(CollectiveTest, AFaultBeforeTheOperationReachesTheOthersAtOnce) {
  const Team team(2);
  const Rank& broken = team.on(1);
  const Tensor x(ACL_FLOAT, {4}, {1, 1, 1, 1});
  void* freed = nullptr;
  ASSERT_EQ(aclrtMalloc(&freed, 16, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  ASSERT_EQ(aclrtFree(freed), 0);
  ASSERT_EQ(aclrtMemsetAsync(freed, 16, 0, 16, broken.stream), 0);
  ASSERT_EQ(HcclAllReduce(x.data(), x.data(), 4, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, broken.comm,
                          broken.stream),
            0);
  EXPECT_EQ(aclrtSynchronizeStream(broken.stream), 507013);
  EXPECT_EQ(sum_ones(team.on(0), 4), 507018);
  EXPECT_THAT(recent_error(), testing::AllOf(HasSubstr("rank 1, which gave up"),
                                             HasSubstr("its HcclAllReduce did not run"),
                                             HasSubstr("aclrtMemsetAsync failed on stream")));
}

TEST_F(CollectiveTest, FreedBuffersAreNamed) {
  const Team team(2);
  team.run([](const Rank& self) {
    const Memory good(16);
    void* freed = nullptr;
    ASSERT_EQ(aclrtMalloc(&freed, 16, ACL_MEM_MALLOC_HUGE_FIRST), 0);
    ASSERT_EQ(aclrtFree(freed), 0);
    EXPECT_EQ(HcclAllReduce(good.get(), self.rank == 0 ? freed : good.get(), 4, HCCL_DATA_TYPE_FP32,
                            HCCL_REDUCE_SUM, self.comm, self.stream),
              0);
    EXPECT_EQ(aclrtSynchronizeStream(self.stream), 507018);
    EXPECT_THAT(recent_error(), testing::AllOf(HasSubstr("argument recvBuf: device memory at"),
                                               HasSubstr("was freed")));
  });
}

TEST_F(CollectiveTest, ADestroyedCommunicatorIsMissed) {
  Team team(2);
  team.destroy_communicator(1);
  EXPECT_EQ(sum_ones(team.on(0), 4), 507048);
  EXPECT_THAT(recent_error(), HasSubstr("rank 1, which has destroyed its communicator"));
}

// Rank 1 ends itself: before its second operation, then in the middle of a long one.
TEST_F(CollectiveTest, AKilledPeerEndsInAnErrorOnEveryOtherRank) {
  for (const char* scenario : {"die-before", "die-within"}) {
    const auto begin = Clock::now();
    auto processes = start(scenario, 4);
    for (uint32_t rank = 0; rank < 4; ++rank) {
      const int status = processes[rank].finish();
      EXPECT_EQ(status, rank == 1 ? -SIGKILL : 0) << scenario << ": " << processes[rank].text;
    }
    EXPECT_LT(seconds_since(begin), 60);
  }
}

TEST_F(CollectiveTest, RanksThatDoNotConnectAreNamed) {
  const Environment patience("HCCL_CONNECT_TIMEOUT", "1");
  HcclRootInfo info = {};
  ASSERT_EQ(HcclGetRootInfo(&info), 0);
  std::vector<std::jthread> threads;
  for (const uint32_t rank : {0u, 2u}) {
    threads.emplace_back([rank, &info] {
      ASSERT_EQ(aclrtSetDevice(static_cast<int32_t>(rank)), 0);
      HcclComm comm = nullptr;
      EXPECT_EQ(HcclCommInitRootInfo(4, &info, rank, &comm), HCCL_E_TIMEOUT);
      EXPECT_THAT(recent_error(),
                  testing::AllOf(HasSubstr("EI0006: rank 1, 3 of 4 did not come within 1 s"),
                                 HasSubstr("HCCL_CONNECT_TIMEOUT")));
    });
  }
  threads.clear();
  // Late: the rendezvous is over.
  HcclComm comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfo(4, &info, 1, &comm), HCCL_E_TIMEOUT);
  EXPECT_THAT(recent_error(), HasSubstr("nobody waits at the root info's address"));
}

TEST_F(CollectiveTest, RanksThatDisagreeAtTheRendezvous) {
  const auto meet = [](uint32_t second_ranks, uint32_t second_rank, const char* text) {
    HcclRootInfo info = {};
    ASSERT_EQ(HcclGetRootInfo(&info), 0);
    const std::pair<uint32_t, uint32_t> both[] = {{3, 0}, {second_ranks, second_rank}};
    std::vector<std::jthread> threads;
    for (const auto& who : both) {
      threads.emplace_back([&info, text, who] {
        ASSERT_EQ(aclrtSetDevice(0), 0);
        HcclComm comm = nullptr;
        EXPECT_EQ(HcclCommInitRootInfo(who.first, &info, who.second, &comm), HCCL_E_PARA);
        EXPECT_THAT(recent_error(), HasSubstr(text));
      });
    }
  };
  meet(2, 1, "argument nRanks: rank ");
  meet(3, 0, "argument rank: 0 came twice");
}

TEST_F(CollectiveTest, ArgumentsAreChecked) {
  const Team team(2);
  const Rank& self = team.on(0);
  const Memory x(64);
  HcclComm comm = nullptr;
  HcclRootInfo nonsense = {};
  int32_t twice[] = {0, 0};
  HcclComm comms[2] = {};
  const auto expect = [](int code, int expected, const char* text) {
    EXPECT_EQ(code, expected) << text;
    EXPECT_THAT(recent_error(), HasSubstr(text));
    EXPECT_STRNE(HcclGetErrorString(expected), "unknown code");
  };
  const auto all_reduce = [&](void* buffer, uint64_t count, int type, int op, HcclComm on,
                              aclrtStream stream) {
    return HcclAllReduce(buffer, buffer, count, static_cast<HcclDataType>(type),
                         static_cast<HcclReduceOp>(op), on, stream);
  };
  expect(HcclGetRootInfo(nullptr), HCCL_E_PTR, "argument rootInfo is null");
  expect(HcclCommInitRootInfo(2, &nonsense, 0, &comm), HCCL_E_PARA, "argument rootInfo: not made");
  expect(HcclCommInitRootInfo(2, &nonsense, 2, &comm), HCCL_E_PARA, "argument rank: got 2");
  expect(HcclCommInitRootInfo(0, &nonsense, 0, &comm), HCCL_E_PARA, "argument nRanks: got 0");
  expect(HcclCommInitAll(2, twice, comms), HCCL_E_PARA, "device 0 is named twice");
  expect(all_reduce(x.get(), 4, 4, 0, nullptr, self.stream), HCCL_E_PTR, "argument comm is null");
  expect(all_reduce(x.get(), 4, 4, 0, self.stream, self.stream), HCCL_E_PARA,
         "got a handle of type aclrtStream, expected HcclComm");
  expect(all_reduce(nullptr, 4, 4, 0, self.comm, self.stream), HCCL_E_PTR, "sendBuf is null");
  expect(all_reduce(x.get(), 4, 99, 0, self.comm, self.stream), HCCL_E_PARA, "dataType: got 99");
  expect(all_reduce(x.get(), 4, 4, 7, self.comm, self.stream), HCCL_E_PARA, "op: got 7");
  expect(all_reduce(x.get(), 4, HCCL_DATA_TYPE_UINT8, 0, self.comm, self.stream),
         HCCL_E_NOT_SUPPORT, "UINT8 cannot be reduced");
  expect(all_reduce(x.get(), UINT64_MAX, 4, 0, self.comm, self.stream), HCCL_E_PARA,
         "argument count: got 18446744073709551615");
  expect(HcclBroadcast(x.get(), 4, HCCL_DATA_TYPE_FP32, 2, self.comm, self.stream), HCCL_E_PARA,
         "argument root: got 2, expected 0 to 1");
  expect(HcclSend(x.get(), 4, HCCL_DATA_TYPE_FP32, 0, self.comm, self.stream), HCCL_E_PARA,
         "cannot send to and receive from itself");
  expect(all_reduce(x.get(), 4, 4, 0, self.comm, team.on(1).stream), HCCL_E_PARA,
         "argument stream: it is device 1's, but the communicator is device 0's");
  const Environment wrong("HCCL_EXEC_TIMEOUT", "soon");
  int32_t devices[] = {0};
  expect(HcclCommInitAll(1, devices, comms), HCCL_E_PARA, "HCCL_EXEC_TIMEOUT: got \"soon\"");
}

// What a rank that loses rank 1 must be told.
void expect_loss(int code) {
  const std::string text = recent_error();
  EXPECT_TRUE(code == 507048 || code == 507018) << code << ": " << text;
  EXPECT_THAT(text, testing::AllOf(HasSubstr("HcclAllReduce"), HasSubstr("rank 1"),
                                   HasSubstr("has ended"), HasSubstr("waited")));
}

}  // namespace

// The life of a process that is one rank; 0 when all was as expected.
int run_rank(const std::string& scenario, uint32_t rank, uint32_t ranks) {
  HcclRootInfo info = {};
  size_t got = 0;
  while (got < sizeof info) {
    const auto size = read(0, reinterpret_cast<char*>(&info) + got, sizeof info - got);
    if (size <= 0) return 3;
    got += static_cast<size_t>(size);
  }
  Rank self = {rank, ranks, nullptr, nullptr};
  EXPECT_EQ(aclrtSetDevice(0), 0);
  EXPECT_EQ(HcclCommInitRootInfo(ranks, &info, rank, &self.comm), 0) << recent_error();
  if (self.comm == nullptr) return 4;
  EXPECT_EQ(aclrtCreateStream(&self.stream), 0);
  if (scenario == "values") check_all_operations(self);
  if (scenario == "die-before") {
    EXPECT_EQ(sum_ones(self, 10), 0) << recent_error();
    if (rank == 1) raise(SIGKILL);
    expect_loss(sum_ones(self, 10));
  }
  if (scenario == "die-within") {
    std::jthread killer;
    if (rank == 1) {
      killer = std::jthread([] {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        raise(SIGKILL);
      });
    }
    int code = 0;
    while (code == 0) code = sum_ones(self, 1 << 22);
    expect_loss(code);
  }
  EXPECT_EQ(HcclCommDestroy(self.comm), 0);
  EXPECT_EQ(aclrtDestroyStream(self.stream), 0);
  return testing::UnitTest::GetInstance()->ad_hoc_test_result().Failed() ? 1 : 0;
}

}  // namespace emulator_test

int main(int argc, char** argv) {
  setenv("LOTSE_EMULATOR_DEVICES", "4", 1);
  testing::InitGoogleTest(&argc, argv);
  if (argc == 5 && std::string(argv[1]) == "--rank") {
    return emulator_test::run_rank(argv[2], static_cast<uint32_t>(std::atoi(argv[3])),
                                   static_cast<uint32_t>(std::atoi(argv[4])));
  }
  return RUN_ALL_TESTS();
}
