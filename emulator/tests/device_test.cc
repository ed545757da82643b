// Devices, chips and errors; what depends on the environment runs in a process of its own.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

TEST(Errors, TextIsReadOnce) {
  EXPECT_EQ(aclrtSetDevice(99), 107001);
  EXPECT_THAT(recent_error(), HasSubstr("aclrtSetDevice: device 99: there are 2 devices"));
  EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
}

TEST(Errors, TextsAndDevicesAreAThreadsOwn) {
  ASSERT_EQ(aclrtSetDevice(1), 0);
  EXPECT_EQ(aclrtSetDevice(99), 107001);
  std::thread([] {
    EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
    int32_t device = 0;
    EXPECT_EQ(aclrtGetDevice(&device), 107002);
    EXPECT_THAT(recent_error(), HasSubstr("call aclrtSetDevice first"));
  }).join();
  EXPECT_NE(aclGetRecentErrMsg(), nullptr);
  int32_t device = 0;
  EXPECT_EQ(aclrtGetDevice(&device), 0);
  EXPECT_EQ(device, 1);
}

TEST(Devices, TheLastResetFreesWhatIsLeft) {
  aclrtResetDeviceForce(1);  // what other tests left
  EXPECT_EQ(aclrtResetDevice(1), 107001);
  EXPECT_THAT(recent_error(), HasSubstr("device 1: it was not set, or reset already"));
  const auto all_is_free = [] {
    size_t free = 0, total = 0;
    EXPECT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free, &total), 0);
    return free == total;
  };
  for (const bool forced : {false, true}) {
    ASSERT_EQ(aclrtSetDevice(1), 0);
    ASSERT_EQ(aclrtSetDevice(1), 0);
    void* memory = nullptr;
    ASSERT_EQ(aclrtMalloc(&memory, 1 << 20, ACL_MEM_MALLOC_HUGE_FIRST), 0);
    if (!forced) {
      ASSERT_EQ(aclrtResetDevice(1), 0);
      EXPECT_EQ(aclrtMemset(memory, 1 << 20, 1, 1 << 20), 0);
      EXPECT_FALSE(all_is_free());
    }
    ASSERT_EQ(forced ? aclrtResetDeviceForce(1) : aclrtResetDevice(1), 0);
    ASSERT_EQ(aclrtSetDevice(1), 0);
    EXPECT_TRUE(all_is_free());
    ASSERT_EQ(aclrtResetDevice(1), 0);
  }
  uint32_t count = 0;
  EXPECT_EQ(aclrtGetDeviceCount(&count), 0);
  EXPECT_EQ(count, 2);
}

TEST(Arguments, TensorsAreChecked) {
  const int64_t two[] = {2, 2}, negative[] = {2, -2}, huge[] = {1 << 30, 1 << 30};
  const int64_t strides[] = {1, -1};
  int memory = 0;
  const auto make = [&](const int64_t* dims, uint64_t rank, aclDataType type, const int64_t* with) {
    return aclCreateTensor(dims, rank, type, with, 0, ACL_FORMAT_ND, dims, rank, &memory);
  };
  EXPECT_EQ(make(negative, 2, ACL_FLOAT, nullptr), nullptr);
  EXPECT_THAT(recent_error(), HasSubstr("[2, -2] is no possible shape"));
  EXPECT_EQ(make(huge, 2, ACL_FLOAT, nullptr), nullptr);
  EXPECT_EQ(make(two, 99, ACL_FLOAT, nullptr), nullptr);
  EXPECT_EQ(make(nullptr, 2, ACL_FLOAT, nullptr), nullptr);
  EXPECT_EQ(make(two, 2, ACL_COMPLEX64, nullptr), nullptr);
  EXPECT_THAT(recent_error(), HasSubstr("COMPLEX64 is not emulated"));
  EXPECT_EQ(make(two, 2, ACL_FLOAT, strides), nullptr);
  EXPECT_THAT(recent_error(), HasSubstr("are out of range"));
}

TEST(Arguments, DestroyedOnesAreFound) {
  ASSERT_EQ(aclrtSetDevice(0), 0);
  const Tensor y = Tensor::output(ACL_FLOAT, {2});
  const int64_t two = 2;
  aclTensor* x = aclCreateTensor(&two, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &two, 1, y.data());
  aclTensorList* list = aclCreateTensorList(&x, 1);
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(aclDestroyTensorList(list), 0);  // and its tensor
  EXPECT_EQ(aclDestroyTensor(x), 161002);
  EXPECT_REFUSED(161002, "argument self: ", aclnnExp, x, y);
  EXPECT_EQ(aclDestroyTensor(nullptr), 0);
}

// Runs `body` in a new process under an environment variable; it reports by its return value.
#define EXPECT_ELSEWHERE(VARIABLE, VALUE, BODY)   \
  GTEST_FLAG_SET(death_test_style, "threadsafe"); \
  EXPECT_EXIT(                                    \
      {                                           \
        setenv(VARIABLE, VALUE, 1);               \
        std::exit((BODY)() ? 0 : 1);              \
      },                                          \
      testing::ExitedWithCode(0), "")

bool chip_is(const char* name, size_t gib) {
  size_t free = 0, total = 0;
  return aclrtSetDevice(0) == 0 && std::string(aclrtGetSocName()) == name &&
         aclrtGetMemInfo(ACL_HBM_MEM, &free, &total) == 0 && total == gib << 30;
}

TEST(ChipDeathTest, IsNamedByTheEnvironment) {
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend310P3", [] { return chip_is("Ascend310P3", 24); });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "ascend-910b4", [] { return chip_is("Ascend910B4", 32); });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend910C",
                   [] { return chip_is("Ascend910_9391", 64); });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend950PR_9599",
                   [] { return chip_is("Ascend950PR_9599", 128); });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend7", [] {
    return aclInit(nullptr) == 107000 &&
           recent_error().find("no profile for \"Ascend7\"; known are") != std::string::npos;
  });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_DEVICES", "8", [] {
    uint32_t count = 0;
    return aclrtGetDeviceCount(&count) == 0 && count == 8;
  });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_DEVICES", "many", [] { return aclInit(nullptr) == 107000; });
}

int zero_of(aclDataType dtype) {
  aclrtSetDevice(0);
  const int64_t two = 2;
  void* memory = nullptr;
  aclrtMalloc(&memory, 16, ACL_MEM_MALLOC_HUGE_FIRST);
  aclTensor* x = aclCreateTensor(&two, 1, dtype, nullptr, 0, ACL_FORMAT_ND, &two, 1, memory);
  return run(aclnnInplaceZeroGetWorkspaceSize, aclnnInplaceZero, x);
}

TEST(ChipDeathTest, RefusesTypesThatItLacks) {
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend310P3", [] {
    return zero_of(ACL_BF16) == 161002 && recent_error().find("Ascend310P3") != std::string::npos &&
           zero_of(ACL_FLOAT16) == 0;
  });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "Ascend910B3",
                   [] { return zero_of(ACL_FLOAT8_E4M3FN) == 161002 && zero_of(ACL_BF16) == 0; });
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_SOC", "ascend-950",
                   [] { return zero_of(ACL_FLOAT8_E4M3FN) == 0; });
}

TEST(TraceDeathTest, NamesOperatorAndLimit) {
  const std::string path = testing::TempDir() + "emulator_trace.json";
  std::filesystem::remove(path);
  EXPECT_ELSEWHERE("LOTSE_EMULATOR_TRACE", path.c_str(), [] { return zero_of(ACL_FLOAT) == 0; });
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("\"name\":\"aclnnInplaceZero\",\"ph\":\"X\",\"pid\":0"));
  EXPECT_THAT(text.str(), HasSubstr("\"dur\":5.100,\"args\":{\"limit\":\"launch\"}"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace emulator_test
