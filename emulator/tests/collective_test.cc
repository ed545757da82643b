// Collectives that go well: values between threads and between processes, order, virtual time and
// graphs.
#include "aclnnop/elementwise.h"
#include "collective_team.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

class CollectiveRanksTest : public CollectiveTest, public testing::WithParamInterface<uint32_t> {};

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

}  // namespace
}  // namespace emulator_test
