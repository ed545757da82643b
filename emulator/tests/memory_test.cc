// Device memory: capacity, lifetimes, copies, and mistakes.
#include <unistd.h>

#include <cstring>
#include <numeric>

#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

class MemoryTest : public DeviceTest {};
using MemoryDeathTest = MemoryTest;

#define EXPECT_FAILS(CODE, TEXT, CALL) \
  EXPECT_EQ(CALL, CODE);               \
  EXPECT_THAT(recent_error(), HasSubstr(TEXT))

size_t free_bytes() {
  size_t free = 0, total = 0;
  EXPECT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free, &total), 0);
  return free;
}

TEST_F(MemoryTest, CopiesThereAndBack) {
  std::vector<int> out(1000), in(1000);
  std::iota(out.begin(), out.end(), 7);
  const Memory a(4000), b(4000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.get()) % 512, 0);
  EXPECT_EQ(aclrtMemcpy(a.get(), 4000, out.data(), 4000, ACL_MEMCPY_HOST_TO_DEVICE), 0);
  EXPECT_EQ(aclrtMemcpy(b.get(), 4000, a.get(), 4000, ACL_MEMCPY_DEVICE_TO_DEVICE), 0);
  EXPECT_EQ(aclrtMemcpy(in.data(), 4000, b.get(), 4000, ACL_MEMCPY_DEFAULT), 0);
  EXPECT_EQ(in, out);
  EXPECT_EQ(aclrtMemset(static_cast<char*>(b.get()) + 4, 3996, -1, 8), 0);
  EXPECT_EQ(aclrtMemcpy(in.data(), 16, b.get(), 16, ACL_MEMCPY_DEVICE_TO_HOST), 0);
  EXPECT_THAT((std::vector<int>{in.begin(), in.begin() + 4}), testing::ElementsAre(7, -1, -1, 10));
}

TEST_F(MemoryTest, AsynchronousCopiesRunInOrder) {
  aclrtStream stream = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), 0);
  void* host = nullptr;
  ASSERT_EQ(aclrtMallocHost(&host, 64), 0);
  std::memset(host, 3, 64);
  const Memory a(64);
  std::vector<char> in(64);
  EXPECT_EQ(aclrtMemcpyAsync(a.get(), 64, host, 64, ACL_MEMCPY_HOST_TO_DEVICE, stream), 0);
  EXPECT_EQ(aclrtMemsetAsync(a.get(), 64, 9, 32, stream), 0);
  EXPECT_EQ(aclrtMemcpyAsync(in.data(), 64, a.get(), 64, ACL_MEMCPY_DEVICE_TO_HOST, stream), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream), 0);
  EXPECT_EQ(in[0], 9);
  EXPECT_EQ(in[63], 3);
  EXPECT_EQ(aclrtFreeHost(host), 0);
  EXPECT_EQ(aclrtDestroyStream(stream), 0);
}

TEST_F(MemoryTest, CapacityIsTheChips) {
  size_t free = 0, total = 0;
  ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free, &total), 0);
  EXPECT_EQ(total, size_t{64} << 30);
  void* half = nullptr;
  void* more = nullptr;
  ASSERT_EQ(aclrtMalloc(&half, total / 2, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  EXPECT_EQ(free_bytes(), free - total / 2);
  EXPECT_FAILS(207018, "asked for 34359738880 bytes, ",
               aclrtMalloc(&more, total / 2 + 1, ACL_MEM_MALLOC_HUGE_FIRST));
  EXPECT_EQ(aclrtFree(half), 0);
  EXPECT_EQ(free_bytes(), free);
  EXPECT_FAILS(207018, "out of memory on device 0 (Ascend910B3)",
               aclrtMalloc(&more, SIZE_MAX, ACL_MEM_MALLOC_HUGE_FIRST));
}

TEST_F(MemoryTest, FreedPiecesJoin) {
  const size_t before = free_bytes();
  std::vector<void*> pieces(9);
  for (void*& piece : pieces) {
    ASSERT_EQ(aclrtMalloc(&piece, size_t{7} << 30, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  }
  for (const int i : {1, 3, 5, 7, 0, 2, 4, 6, 8})
    EXPECT_EQ(aclrtFree(pieces[static_cast<size_t>(i)]), 0);
  EXPECT_EQ(free_bytes(), before);
  void* whole = nullptr;
  ASSERT_EQ(aclrtMalloc(&whole, size_t{63} << 30, ACL_MEM_MALLOC_HUGE_FIRST), 0) << recent_error();
  EXPECT_EQ(aclrtFree(whole), 0);
}

TEST_F(MemoryTest, FreesOfWhatIsNotAllocated) {
  void* a = nullptr;
  ASSERT_EQ(aclrtMalloc(&a, 100, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  EXPECT_FAILS(107000, "is byte 10 of allocation", aclrtFree(static_cast<char*>(a) + 10));
  EXPECT_EQ(aclrtFree(a), 0);
  EXPECT_FAILS(107000, "was freed already", aclrtFree(a));
  int host = 0;
  EXPECT_FAILS(107000, "was not allocated by aclrtMalloc", aclrtFree(&host));
  EXPECT_FAILS(107000, "is null", aclrtFree(nullptr));
  EXPECT_FAILS(107000, "argument size: got 0", aclrtMalloc(&a, 0, ACL_MEM_MALLOC_HUGE_FIRST));
}

TEST_F(MemoryTest, CopiesAreChecked) {
  const Memory a(100);
  char host[200] = {};
  EXPECT_FAILS(107000, "200 bytes do not fit into destMax, 100",
               aclrtMemcpy(a.get(), 100, host, 200, ACL_MEMCPY_HOST_TO_DEVICE));
  EXPECT_FAILS(107000, "reach 100 bytes beyond its end",
               aclrtMemcpy(a.get(), 200, host, 200, ACL_MEMCPY_HOST_TO_DEVICE));
  EXPECT_FAILS(107000, "argument dst: 0x",
               aclrtMemcpy(host, 100, a.get(), 100, ACL_MEMCPY_HOST_TO_DEVICE));
  EXPECT_FAILS(107000, "argument kind: got 7",
               aclrtMemcpy(host, 1, a.get(), 1, static_cast<aclrtMemcpyKind>(7)));
}

TEST_F(MemoryDeathTest, HostAccessSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Memory a(100);
  EXPECT_DEATH(static_cast<volatile char*>(a.get())[5] = 1,
               "host access to device memory at .*: byte 5 of an allocation of 100 bytes on "
               "device 0; copy it with aclrtMemcpy");
}

TEST_F(MemoryDeathTest, HostAccessToFreedMemorySaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  void* a = nullptr;
  ASSERT_EQ(aclrtMalloc(&a, 100, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  ASSERT_EQ(aclrtFree(a), 0);
  EXPECT_DEATH(static_cast<volatile char*>(a)[5] = 1, "100 bytes on device 0 .freed.");
}

TEST_F(MemoryDeathTest, OtherFaultsStayPlain) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto* volatile nowhere = reinterpret_cast<volatile char*>(16);
  EXPECT_DEATH(*nowhere = 1, testing::Not(HasSubstr("device memory")));
}

// The freed tensor's operator was accepted: the fault comes when it runs and shows at the wait.
TEST_F(MemoryTest, UseAfterFreeIsFoundWhenTheOperatorRuns) {
  aclrtStream stream = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), 0);
  void* memory = nullptr;
  ASSERT_EQ(aclrtMalloc(&memory, 16, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  const int64_t four = 4;
  aclTensor* x = aclCreateTensor(&four, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &four, 1, memory);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
  ASSERT_EQ(aclrtFree(memory), 0);
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream), 0);
  const int code = aclrtSynchronizeStream(stream);
  EXPECT_EQ(code, 507035);
  const std::string text = recent_error();
  EXPECT_THAT(text, HasSubstr("aclnnInplaceExp failed on stream"));
  EXPECT_THAT(text, HasSubstr("argument selfRef (FLOAT [4]): device memory at"));
  EXPECT_THAT(text, HasSubstr("was freed: allocation"));
  aclDestroyTensor(x);
  EXPECT_EQ(aclrtDestroyStream(stream), 0);
}

TEST_F(MemoryTest, OperatorsDoNotReachHostOrBeyondTheEnd) {
  float host[4] = {};
  const Memory device(16);
  const int64_t four = 4, five = 5;
  const auto fault = [](aclTensor* x) {
    aclrtStream stream = nullptr;
    EXPECT_EQ(aclrtCreateStream(&stream), 0);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    EXPECT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
    EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream), 0);
    EXPECT_EQ(aclrtSynchronizeStream(stream), 507035);
    const std::string text = recent_error();
    EXPECT_EQ(aclrtDestroyStream(stream), 0);
    aclDestroyTensor(x);
    return text;
  };
  EXPECT_THAT(
      fault(aclCreateTensor(&four, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &four, 1, host)),
      HasSubstr("is host memory"));
  EXPECT_THAT(fault(aclCreateTensor(&five, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &five, 1,
                                    device.get())),
              HasSubstr("reach 4 bytes beyond its end"));
  EXPECT_THAT(
      fault(aclCreateTensor(&four, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &four, 1, nullptr)),
      HasSubstr("null address"));
}

TEST_F(MemoryTest, AnotherDevicesMemoryNeedsPeerAccess) {
  int32_t can = 0;
  ASSERT_EQ(aclrtDeviceCanAccessPeer(&can, 0, 1), 0);
  EXPECT_EQ(can, 1);
  ASSERT_EQ(aclrtSetDevice(1), 0);
  const Memory there(64);
  ASSERT_EQ(aclrtMemset(there.get(), 64, 5, 64), 0);
  ASSERT_EQ(aclrtSetDevice(0), 0);
  const Memory here(64);
  EXPECT_FAILS(107000, "call aclrtDeviceEnablePeerAccess first",
               aclrtMemcpy(here.get(), 64, there.get(), 64, ACL_MEMCPY_DEVICE_TO_DEVICE));
  ASSERT_EQ(aclrtDeviceEnablePeerAccess(1, 0), 0);
  EXPECT_EQ(aclrtMemcpy(here.get(), 64, there.get(), 64, ACL_MEMCPY_DEVICE_TO_DEVICE), 0);
  char byte = 0;
  EXPECT_EQ(aclrtMemcpy(&byte, 1, here.get(), 1, ACL_MEMCPY_DEVICE_TO_HOST), 0);
  EXPECT_EQ(byte, 5);
  EXPECT_EQ(aclrtDeviceDisablePeerAccess(1), 0);
}

}  // namespace
}  // namespace emulator_test
