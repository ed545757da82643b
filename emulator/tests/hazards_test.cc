// Races between streams, and between a stream and the host: each is found, and nothing else is.
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "aclnnop/elementwise.h"
#include "aclnnop/indexing.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kHazard = 507035;
constexpr size_t kBytes = 4096;

class HazardTest : public DeviceTest {
 protected:
  HazardTest() {
    for (aclrtStream* stream : {&a_, &b_, &c_}) EXPECT_EQ(aclrtCreateStream(stream), 0);
    EXPECT_EQ(aclrtCreateEvent(&event_), 0);
  }
  ~HazardTest() override {
    EXPECT_EQ(aclrtDestroyEvent(event_), 0);
    for (aclrtStream stream : {a_, b_, c_}) EXPECT_EQ(aclrtDestroyStream(stream), 0);
  }

  // `to` waits for all that `from` was given.
  void order(aclrtStream from, aclrtStream to) {
    EXPECT_EQ(aclrtRecordEvent(event_, from), 0);
    EXPECT_EQ(aclrtStreamWaitEvent(to, event_), 0);
  }
  void expect_race(aclrtStream stream, const testing::Matcher<const std::string&>& text) {
    EXPECT_EQ(aclrtSynchronizeStream(stream), kHazard);
    EXPECT_THAT(recent_error(), text);
  }
  void expect_none() { EXPECT_EQ(aclrtSynchronizeDevice(), 0) << recent_error(); }

  aclrtStream a_ = nullptr, b_ = nullptr, c_ = nullptr;
  aclrtEvent event_ = nullptr;
};
using HazardDeathTest = HazardTest;

void set(void* memory, size_t size, aclrtStream stream) {
  ASSERT_EQ(aclrtMemsetAsync(memory, size, 1, size, stream), 0);
}

void copy(void* to, const void* from, size_t size, aclrtStream stream) {
  ASSERT_EQ(aclrtMemcpyAsync(to, size, from, size, ACL_MEMCPY_DEVICE_TO_DEVICE, stream), 0);
}

// x ← exp(x)
void exponentiate(const Tensor& x, aclrtStream stream) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
  ASSERT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream), 0);
}

// y ← |x|
void absolute(const Tensor& x, const Tensor& y, aclrtStream stream) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(aclnnAbsGetWorkspaceSize(x, y, &size, &executor), 0);
  ASSERT_EQ(aclnnAbs(nullptr, 0, executor, stream), 0);
}

TEST_F(HazardTest, TwoWritesOnTwoStreams) {
  const Tensor x(ACL_FLOAT, {8}, std::vector<double>(8, 0));
  exponentiate(x, a_);
  absolute(x, x, b_);
  EXPECT_EQ(aclrtSynchronizeStream(a_), 0);
  expect_race(b_, AllOf(HasSubstr("race: aclnnAbs (argument self) on stream "),
                        HasSubstr(" reads device memory 0x"),
                        HasSubstr("which aclnnInplaceExp (argument selfRef) on stream "),
                        HasSubstr(" writes, and nothing orders the two; record an event")));
}

TEST_F(HazardTest, AReadAfterAWrite) {
  const Memory x(kBytes), y(kBytes);
  set(x.get(), kBytes, a_);
  copy(y.get(), x.get(), kBytes, b_);
  expect_race(b_, AllOf(HasSubstr("aclrtMemcpyAsync (argument src)"),
                        HasSubstr("aclrtMemsetAsync (argument devPtr)")));
  expect_race(b_, HasSubstr("race"));  // it stays, as every fault
}

TEST_F(HazardTest, AWriteAfterARead) {
  const Memory x(kBytes), y(kBytes);
  copy(y.get(), x.get(), kBytes, a_);
  set(static_cast<char*>(x.get()) + kBytes - 1, 1, b_);
  expect_race(b_, AllOf(HasSubstr("aclrtMemsetAsync (argument devPtr)"),
                        HasSubstr("aclrtMemcpyAsync (argument src)"), HasSubstr(" reads, and")));
}

TEST_F(HazardTest, AnEventThatWasRecordedTooEarly) {
  const Memory x(kBytes);
  set(x.get(), kBytes, a_);
  EXPECT_EQ(aclrtRecordEvent(event_, a_), 0);
  set(x.get(), kBytes, a_);
  EXPECT_EQ(aclrtStreamWaitEvent(b_, event_), 0);
  set(x.get(), kBytes, b_);
  expect_race(b_, HasSubstr("race"));
}

TEST_F(HazardTest, AnEventOfAnotherStream) {
  const Memory x(kBytes);
  set(x.get(), kBytes, a_);
  order(c_, b_);
  set(x.get(), kBytes, b_);
  expect_race(b_, HasSubstr("race"));
}

TEST_F(HazardTest, TheDefaultStreamIsAStreamLikeAnother) {
  const Memory x(kBytes);
  set(x.get(), kBytes, nullptr);
  set(x.get(), kBytes, a_);
  expect_race(a_, HasSubstr("race"));
  EXPECT_EQ(aclrtSynchronizeStream(nullptr), 0);
}

TEST_F(HazardTest, TheHostReadsTooEarly) {
  const Tensor x(ACL_FLOAT, {8}, std::vector<double>(8, 0));
  float host[8] = {};
  exponentiate(x, a_);
  const auto read = [&] {
    return aclrtMemcpy(host, sizeof host, x.data(), sizeof host, ACL_MEMCPY_DEVICE_TO_HOST);
  };
  EXPECT_EQ(read(), kHazard);
  EXPECT_THAT(recent_error(),
              AllOf(HasSubstr("aclrtMemcpy: argument src: the host reads device memory 0x"),
                    HasSubstr("aclnnInplaceExp (argument selfRef) on stream "),
                    HasSubstr(" may still write; synchronise that stream")));
  EXPECT_EQ(aclrtSynchronizeStream(a_), 0);
  EXPECT_EQ(read(), 0) << recent_error();
  EXPECT_EQ(host[7], 1);
}

TEST_F(HazardTest, TheHostWritesTooEarly) {
  const Memory x(kBytes), y(kBytes);
  copy(y.get(), x.get(), kBytes, a_);
  char host[16] = {};
  EXPECT_EQ(aclrtMemcpy(x.get(), 16, host, 16, ACL_MEMCPY_HOST_TO_DEVICE), kHazard);
  EXPECT_THAT(recent_error(),
              AllOf(HasSubstr("argument dst: the host writes"), HasSubstr("may still read")));
  EXPECT_EQ(aclrtMemset(x.get(), kBytes, 0, kBytes), kHazard);
  EXPECT_EQ(aclrtMemcpy(host, 16, x.get(), 16, ACL_MEMCPY_DEVICE_TO_HOST), 0);  // both read
  EXPECT_EQ(aclrtSynchronizeStream(a_), 0);
  EXPECT_EQ(aclrtMemset(x.get(), kBytes, 0, kBytes), 0);
}

TEST_F(HazardTest, MemoryFreedTooEarly) {
  void* x = nullptr;
  ASSERT_EQ(aclrtMalloc(&x, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  set(x, kBytes, a_);
  ASSERT_EQ(aclrtFree(x), 0);
  // Found by the free, or by the task if it ran after it.
  const int code = aclrtSynchronizeStream(a_);
  const std::string text = recent_error();
  EXPECT_TRUE(code == kHazard || code == 507013) << code;
  EXPECT_THAT(text,
              AllOf(HasSubstr("aclrtMemsetAsync"), HasSubstr("freed"), HasSubstr("4096 bytes")));
}

TEST_F(HazardTest, ACaptureWhoseStreamsRace) {
  const Memory x(kBytes);
  aclmdlRI graph = nullptr;
  ASSERT_EQ(aclmdlRICaptureBegin(a_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL), 0);
  order(a_, b_);
  set(x.get(), kBytes, a_);
  set(x.get(), kBytes, b_);
  order(b_, a_);
  EXPECT_EQ(aclmdlRICaptureEnd(a_, &graph), 507903);
  EXPECT_THAT(recent_error(), AllOf(HasSubstr("the capture is invalid: race: aclrtMemsetAsync")));
}

TEST_F(HazardTest, EventsOrderOverSeveralStreams) {
  const Memory x(kBytes);
  for (int i = 0; i < 50; ++i) {
    set(x.get(), kBytes, a_);
    order(a_, b_);
    order(b_, c_);
    set(x.get(), kBytes, c_);
    order(c_, a_);
  }
  expect_none();
}

TEST_F(HazardTest, SynchronisingOrders) {
  const Memory x(kBytes);
  set(x.get(), kBytes, a_);
  EXPECT_EQ(aclrtSynchronizeStream(a_), 0);
  set(x.get(), kBytes, b_);
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
  set(x.get(), kBytes, c_);
  EXPECT_EQ(aclrtRecordEvent(event_, c_), 0);
  EXPECT_EQ(aclrtSynchronizeEvent(event_), 0);
  set(x.get(), kBytes, a_);
  EXPECT_EQ(aclrtRecordEvent(event_, a_), 0);
  aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
  while (status != ACL_EVENT_RECORDED_STATUS_COMPLETE) {
    ASSERT_EQ(aclrtQueryEventStatus(event_, &status), 0);
  }
  set(x.get(), kBytes, b_);
  aclrtStream brief = nullptr;
  ASSERT_EQ(aclrtSynchronizeStream(b_), 0);
  ASSERT_EQ(aclrtCreateStream(&brief), 0);
  set(x.get(), kBytes, brief);
  ASSERT_EQ(aclrtDestroyStream(brief), 0);  // finishes its work
  set(x.get(), kBytes, nullptr);
  expect_none();
}

// One thread waits, another goes on: how they told each other is not seen, but may be right.
TEST_F(HazardTest, AnotherThreadMayWait) {
  const Memory x(kBytes);
  set(x.get(), kBytes, a_);
  std::thread([this] { EXPECT_EQ(aclrtSynchronizeStream(a_), 0); }).join();
  std::thread([&] {
    ASSERT_EQ(aclrtSetDevice(0), 0);
    set(x.get(), kBytes, b_);
  }).join();
  expect_none();
}

TEST_F(HazardTest, OneStreamNeedsNoEvents) {
  const Memory x(kBytes), y(kBytes);
  std::vector<char> host(kBytes);
  for (aclrtStream stream : {aclrtStream{nullptr}, a_}) {
    ASSERT_EQ(
        aclrtMemcpyAsync(x.get(), kBytes, host.data(), kBytes, ACL_MEMCPY_HOST_TO_DEVICE, stream),
        0);
    copy(y.get(), x.get(), kBytes, stream);
    set(x.get(), kBytes, stream);
    ASSERT_EQ(
        aclrtMemcpyAsync(host.data(), kBytes, y.get(), kBytes, ACL_MEMCPY_DEVICE_TO_HOST, stream),
        0);
    EXPECT_EQ(aclrtSynchronizeStream(stream), 0) << recent_error();
  }
}

TEST_F(HazardTest, ReadsDoNotRace) {
  const Memory x(kBytes), y(kBytes), z(kBytes);
  copy(y.get(), x.get(), kBytes, a_);
  copy(z.get(), x.get(), kBytes, b_);
  expect_none();
}

TEST_F(HazardTest, PartsOfOneAllocation) {
  const Memory x(kBytes);
  auto* bytes = static_cast<char*>(x.get());
  set(bytes, kBytes / 2, a_);
  set(bytes + kBytes / 2, kBytes / 2, b_);
  expect_none();
  set(bytes, kBytes / 2 + 1, a_);
  set(bytes + kBytes / 2, kBytes / 2, b_);
  expect_race(b_, HasSubstr("race"));
}

// Columns of one matrix: their ranges of addresses overlap, their elements do not.
TEST_F(HazardTest, ColumnsOfOneMatrix) {
  const Memory memory(kBytes);
  const int64_t view[] = {16, 8}, strides[] = {24, 1}, storage[] = {16, 24};
  const auto columns = [&](int64_t first) {
    return aclCreateTensor(view, 2, ACL_FLOAT, strides, first, ACL_FORMAT_ND, storage, 2,
                           memory.get());
  };
  const auto write = [](aclTensor* x, aclrtStream stream) {
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
    ASSERT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream), 0);
  };
  aclTensor* const left = columns(0);
  aclTensor* const middle = columns(8);
  aclTensor* const right = columns(16);
  aclTensor* const across = columns(15);
  write(left, a_);
  write(middle, b_);
  write(right, c_);
  expect_none();
  write(right, a_);
  write(middle, c_);
  write(across, b_);
  expect_race(b_, HasSubstr("race: aclnnInplaceExp (argument selfRef)"));
  for (aclTensor* x : {left, middle, right, across}) aclDestroyTensor(x);
}

// Two streams write rows of one cache; which rows, only the indices say.
TEST_F(HazardTest, RowsOfACache) {
  const Tensor cache(ACL_FLOAT, {8, 4}, std::vector<double>(32, 0));
  const Tensor rows(ACL_FLOAT, {1, 4}, {1, 2, 3, 4});
  const Tensor first(ACL_INT64, {1}, {0}), second(ACL_INT64, {1}, {5});
  const auto write = [&](const Tensor& index, aclrtStream stream) {
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(aclnnInplaceIndexCopyGetWorkspaceSize(cache, 0, index, rows, &size, &executor), 0);
    ASSERT_EQ(aclnnInplaceIndexCopy(nullptr, 0, executor, stream), 0);
  };
  write(first, a_);
  write(second, b_);
  expect_none();
  EXPECT_EQ(cache.fetch()[23], 4);
  write(first, a_);
  exponentiate(cache, b_);  // all of it
  expect_race(b_, HasSubstr("aclnnInplaceIndexCopy (argument selfRef)"));
}

TEST_F(HazardTest, MemoryIsUsedAgain) {
  for (int i = 0; i < 20; ++i) {
    void* x = nullptr;
    ASSERT_EQ(aclrtMalloc(&x, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), 0);
    aclrtStream stream = i % 2 == 0 ? a_ : b_;
    set(x, kBytes, stream);
    ASSERT_EQ(aclrtSynchronizeStream(stream), 0) << recent_error();
    ASSERT_EQ(aclrtFree(x), 0);
  }
  expect_none();
}

TEST_F(HazardTest, GraphsForkJoinAndReplay) {
  const Memory x(kBytes), y(kBytes);
  aclmdlRI graph = nullptr;
  ASSERT_EQ(aclmdlRICaptureBegin(a_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL), 0);
  set(x.get(), kBytes, a_);
  order(a_, b_);
  copy(y.get(), x.get(), kBytes, b_);
  order(b_, a_);
  set(y.get(), kBytes, a_);
  set(x.get(), kBytes, a_);
  ASSERT_EQ(aclmdlRICaptureEnd(a_, &graph), 0) << recent_error();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(aclmdlRIExecuteAsync(graph, a_), 0);
  order(a_, c_);
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, c_), 0);
  expect_none();
  // A replay races as its tasks do.
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, a_), 0);
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, c_), 0);
  expect_race(c_, HasSubstr("race"));
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
}

// More ranges than are remembered: nothing is found any more, and nothing is made up.
TEST_F(HazardTest, ManyRanges) {
  constexpr size_t kMany = 40'000;
  const Memory x(kMany * 2);
  for (size_t i = 0; i < kMany; ++i) {
    set(static_cast<char*>(x.get()) + i * 2, 1, a_);
  }
  order(a_, b_);
  set(x.get(), kMany * 2, b_);
  expect_none();
}

// Within a capture nothing runs, so the race is none for a sanitizer of this process.
TEST_F(HazardDeathTest, AnEnvironmentVariableSwitchesThemOff) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto race = [this](const char* value) {
    setenv("LOTSE_EMULATOR_HAZARDS", value, 1);
    const Memory x(kBytes);
    aclmdlRI graph = nullptr;
    aclmdlRICaptureBegin(a_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL);
    order(a_, b_);
    set(x.get(), kBytes, a_);
    set(x.get(), kBytes, b_);
    _exit(aclmdlRICaptureEnd(a_, &graph) == 0 ? 0 : 1);
  };
  EXPECT_EXIT(race("off"), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(race("on"), testing::ExitedWithCode(1), "");
}

}  // namespace
}  // namespace emulator_test
