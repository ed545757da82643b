// Every way in which a rank can fail the others, and what they are told.
#include <signal.h>

#include "collective_team.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

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

}  // namespace
}  // namespace emulator_test
