// Experts over several devices: values, disagreement, and ranks that do not come.
#include <signal.h>

#include "collective_team.h"
#include "moe_distribute_cases.h"

namespace emulator_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DistributedExperts : public CollectiveTest {};

TEST_F(DistributedExperts, OfThreads) {
  for (const uint32_t ranks : {2u, 4u}) {
    const Team team(ranks);
    for (const int version : {1, 2}) {
      for (const bool quantised : {false, true}) {
        for (const bool masked : {false, true}) {
          team.run([&](const Rank& self) {
            check_experts(self, {.version = version, .quantised = quantised, .masked = masked});
          });
        }
      }
    }
  }
}

TEST_F(DistributedExperts, OfProcesses) {
  for (const uint32_t ranks : {2u, 4u}) {
    for (Process& process : start("experts", ranks)) {
      EXPECT_EQ(process.finish(), 0) << process.text;
    }
  }
}

TEST_F(DistributedExperts, SharedOnes) {
  if (!has_shared_ranks()) GTEST_SKIP() << "not run: this chip has no ranks for shared experts";
  const Team team(4);
  for (const auto& [shared, ranks] : {std::pair{1, 1}, std::pair{1, 2}, std::pair{2, 2}}) {
    for (const bool quantised : {false, true}) {
      team.run([&, count = shared, held = ranks](const Rank& self) {
        check_experts(self, {.quantised = quantised, .shared = count, .shared_ranks = held});
      });
    }
  }
}

TEST_F(DistributedExperts, RanksThatDisagreeAreTold) {
  const Team team(2);
  team.run([](const Rank& self) {
    EXPECT_NE(dispatch_once(self, self.rank == 0 ? 4 : 8), 0);
    EXPECT_THAT(recent_error(), AllOf(HasSubstr("aclnnMoeDistributeDispatchV2"),
                                      HasSubstr("argument moeExpertNum")));
  });
}

TEST_F(DistributedExperts, AnotherCollectiveInsteadIsAnError) {
  const Team team(2);
  team.run([](const Rank& self) {
    EXPECT_NE(self.rank == 0 ? dispatch_once(self, 8) : sum_ones(self, 4), 0);
    EXPECT_THAT(recent_error(), AllOf(HasSubstr("EI0005"), HasSubstr("aclnnMoeDistributeDispatch"),
                                      HasSubstr("HcclAllReduce")));
  });
}

TEST_F(DistributedExperts, ARankThatDoesNotComeIsATimeout) {
  const Environment patience("HCCL_EXEC_TIMEOUT", "1");
  const Team team(2);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(dispatch_once(team.on(0), 8), 0);
  EXPECT_LT(seconds_since(begin), 10);
  EXPECT_THAT(recent_error(), AllOf(HasSubstr("aclnnMoeDistributeDispatchV2"),
                                    HasSubstr("waits for rank 1"), HasSubstr("in time")));
}

TEST_F(DistributedExperts, ARankWhoseProcessEndedIsAnError) {
  for (Process& process : start("experts-die", 2)) {
    const int status = process.finish();
    EXPECT_TRUE(status == 0 || status == -SIGKILL) << process.text;
  }
}

TEST_F(DistributedExperts, UnknownNamesAreRefused) {
  const Team team(2);
  Rank stranger = team.on(0);
  EXPECT_EQ(aclrtSetDevice(2), 0);
  EXPECT_EQ(dispatch_once(stranger, 8), 161002);
  EXPECT_THAT(recent_error(), HasSubstr("argument groupEp: device 2 is in no communicator named"));
}

}  // namespace
}  // namespace emulator_test
