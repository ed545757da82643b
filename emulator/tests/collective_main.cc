// The program of the tests of collectives, which starts itself again as other ranks.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "collective_cases.h"
#include "moe_distribute_cases.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

// What a rank that loses rank 1 must be told.
void expect_loss(int code) {
  const std::string text = recent_error();
  EXPECT_TRUE(code == 507048 || code == 507018) << code << ": " << text;
  EXPECT_THAT(text, testing::AllOf(HasSubstr("HcclAllReduce"), HasSubstr("rank 1"),
                                   HasSubstr("has ended"), HasSubstr("waited")));
}

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
  if (scenario == "experts") {
    check_experts(self, {.version = 1});
    check_experts(self, {.version = 2, .quantised = true});
  }
  if (scenario == "experts-die") {
    EXPECT_EQ(dispatch_once(self, 8), 0) << recent_error();
    if (rank == 1) raise(SIGKILL);
    const int code = dispatch_once(self, 8);
    EXPECT_TRUE(code == 507048 || code == 507018) << code;
    EXPECT_THAT(recent_error(), testing::AllOf(HasSubstr("aclnnMoeDistributeDispatchV2"),
                                               HasSubstr("rank 1"), HasSubstr("has ended")));
  }
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

}  // namespace
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
