// Ranges of device addresses into which physical memory is mapped.
#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

constexpr size_t kPiece = size_t{2} << 20;

class VirtualMemory : public DeviceTest {
 protected:
  VirtualMemory() {
    prop_.memAttr = ACL_HBM_MEM_HUGE;
    prop_.location = {0, ACL_MEM_LOCATION_TYPE_DEVICE};
    EXPECT_EQ(aclrtReserveMemAddress(&range_, 4 * kPiece, 0, nullptr, 1), 0) << recent_error();
  }
  ~VirtualMemory() override { EXPECT_EQ(aclrtReleaseMemAddress(range_), 0) << recent_error(); }
  void* at(size_t piece) const { return static_cast<char*>(range_) + piece * kPiece; }
  aclrtDrvMemHandle physical(size_t size = kPiece) {
    aclrtDrvMemHandle handle = nullptr;
    EXPECT_EQ(aclrtMallocPhysical(&handle, size, &prop_, 0), 0) << recent_error();
    return handle;
  }

  aclrtPhysicalMemProp prop_ = {};
  void* range_ = nullptr;
};

TEST_F(VirtualMemory, GranularityIsTwoMegabytes) {
  size_t granularity = 0;
  EXPECT_EQ(aclrtMemGetAllocationGranularity(&prop_, ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED,
                                             &granularity),
            0);
  EXPECT_EQ(granularity, kPiece);
}

// Two pieces side by side hold one tensor; the second also shows at another address.
TEST_F(VirtualMemory, NeighbouringMappingsAreOneRange) {
  aclrtDrvMemHandle first = physical(), second = physical();
  ASSERT_EQ(aclrtMapMem(at(0), kPiece, 0, first, 0), 0) << recent_error();
  ASSERT_EQ(aclrtMapMem(at(1), kPiece, 0, second, 0), 0) << recent_error();
  ASSERT_EQ(aclrtMapMem(at(3), kPiece, 0, second, 0), 0) << recent_error();
  const int64_t count = 2 * kPiece / 4;
  aclTensor* x = aclCreateTensor(&count, 1, ACL_INT32, nullptr, 0, ACL_FORMAT_ND, &count, 1, at(0));
  const Scalar seven(int64_t{7});
  RUN(aclnnInplaceFillScalar, x, seven);
  int32_t last = 0;
  ASSERT_EQ(
      aclrtMemcpy(&last, 4, static_cast<char*>(at(3)) + kPiece - 4, 4, ACL_MEMCPY_DEVICE_TO_HOST),
      0);
  EXPECT_EQ(last, 7);
  aclDestroyTensor(x);
  for (const size_t piece : {0u, 1u, 3u}) EXPECT_EQ(aclrtUnmapMem(at(piece)), 0) << recent_error();
  EXPECT_EQ(aclrtFreePhysical(first), 0);
  EXPECT_EQ(aclrtFreePhysical(second), 0);
}

TEST_F(VirtualMemory, UnmappedIsFound) {
  aclrtDrvMemHandle handle = physical();
  char byte = 0;
  EXPECT_EQ(aclrtMemcpy(&byte, 1, at(0), 1, ACL_MEMCPY_DEVICE_TO_HOST), 107000);
  ASSERT_EQ(aclrtMapMem(at(0), kPiece, 0, handle, 0), 0);
  EXPECT_EQ(aclrtMemcpy(&byte, 1, at(0), 1, ACL_MEMCPY_DEVICE_TO_HOST), 0);
  ASSERT_EQ(aclrtUnmapMem(at(0)), 0);
  EXPECT_EQ(aclrtMemcpy(&byte, 1, at(0), 1, ACL_MEMCPY_DEVICE_TO_HOST), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("was unmapped"));
  EXPECT_EQ(aclrtFreePhysical(handle), 0);
}

TEST_F(VirtualMemory, MistakesAreRefused) {
  aclrtDrvMemHandle handle = physical();
  ASSERT_EQ(aclrtMapMem(at(0), kPiece, 0, handle, 0), 0);
  EXPECT_EQ(aclrtMapMem(at(0), kPiece, 0, handle, 0), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("memory is mapped at"));
  EXPECT_EQ(aclrtMapMem(at(4), kPiece, 0, handle, 0), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("were not reserved"));
  EXPECT_EQ(aclrtMapMem(at(1), 2 * kPiece, 0, handle, 0), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("reach beyond"));
  EXPECT_EQ(aclrtMapMem(at(1), 100, 0, handle, 0), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("100 is not a multiple of 2097152"));
  EXPECT_EQ(aclrtReleaseMemAddress(range_), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("still has mappings"));
  EXPECT_EQ(aclrtFree(at(0)), 107000);
  ASSERT_EQ(aclrtUnmapMem(at(0)), 0);
  EXPECT_EQ(aclrtUnmapMem(at(0)), 107000);
  EXPECT_EQ(aclrtFreePhysical(handle), 0);
  EXPECT_EQ(aclrtFreePhysical(handle), 107017);
}

TEST_F(VirtualMemory, PhysicalMemoryCountsAgainstTheCapacity) {
  size_t before = 0, during = 0, total = 0;
  ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &before, &total), 0);
  aclrtDrvMemHandle handle = physical(16 * kPiece);
  ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &during, &total), 0);
  EXPECT_EQ(before - during, 16 * kPiece);
  EXPECT_EQ(aclrtFreePhysical(handle), 0);
  ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &during, &total), 0);
  EXPECT_EQ(before, during);
}

}  // namespace
}  // namespace emulator_test
