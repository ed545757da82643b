// Streams, events, virtual time, faults and graphs.
#include <fstream>
#include <sstream>

#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

class StreamTest : public DeviceTest {
 protected:
  StreamTest() { EXPECT_EQ(aclrtCreateStream(&stream_), 0); }
  ~StreamTest() override { EXPECT_EQ(aclrtDestroyStream(stream_), 0); }
  aclrtStream stream_ = nullptr;
};
using GraphTest = StreamTest;

// x ← (x + 1) · factor on a stream, without waiting.
int add_one(const Tensor& x, aclrtStream stream, float factor = 1) {
  const Scalar one(1.0f), by(factor);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  int code = aclnnInplaceAddsGetWorkspaceSize(x, one, one, &size, &executor);
  if (code == 0) code = aclnnInplaceAdds(nullptr, 0, executor, stream);
  if (code == 0) code = aclnnInplaceMulsGetWorkspaceSize(x, by, &size, &executor);
  return code == 0 ? aclnnInplaceMuls(nullptr, 0, executor, stream) : code;
}

aclrtEvent new_event() {
  aclrtEvent event = nullptr;
  EXPECT_EQ(aclrtCreateEvent(&event), 0);
  return event;
}

// Reads memory that does not exist.
void enqueue_fault(aclrtStream stream) {
  void* memory = nullptr;
  ASSERT_EQ(aclrtMalloc(&memory, 16, ACL_MEM_MALLOC_HUGE_FIRST), 0);
  ASSERT_EQ(aclrtFree(memory), 0);
  ASSERT_EQ(aclrtMemsetAsync(memory, 16, 0, 16, stream), 0);
}

TEST_F(StreamTest, TasksRunInOrder) {
  const Tensor x(ACL_FLOAT, {1}, {0});
  double expected = 0;
  for (int i = 0; i < 40; ++i) {
    const float factor = i % 2 == 0 ? 3.0f : 0.5f;
    ASSERT_EQ(add_one(x, stream_, factor), 0);
    expected = (expected + 1) * static_cast<double>(factor);
  }
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_NEAR(x.fetch()[0], expected, expected * 1e-5);
}

TEST_F(StreamTest, EventsOrderStreams) {
  const Tensor x(ACL_FLOAT, {1000}, std::vector<double>(1000, 0));
  aclrtStream other = nullptr;
  ASSERT_EQ(aclrtCreateStream(&other), 0);
  aclrtEvent event = new_event();
  for (int i = 0; i < 20; ++i) {
    aclrtStream first = i % 2 == 0 ? stream_ : other, second = i % 2 == 0 ? other : stream_;
    ASSERT_EQ(add_one(x, first, i % 2 == 0 ? 2.0f : 0.5f), 0);
    ASSERT_EQ(aclrtRecordEvent(event, first), 0);
    ASSERT_EQ(aclrtStreamWaitEvent(second, event), 0);
  }
  ASSERT_EQ(aclrtSynchronizeEvent(event), 0);
  // (x + 1) · 2, then (x + 1) / 2, ten times: x grows by 1.5 each pair.
  expect_values(x, [](const Shape&) { return 15; }, 0);
  aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
  EXPECT_EQ(aclrtQueryEventStatus(event, &status), 0);
  EXPECT_EQ(status, ACL_EVENT_RECORDED_STATUS_COMPLETE);
  EXPECT_EQ(aclrtDestroyEvent(event), 0);
  EXPECT_EQ(aclrtDestroyStream(other), 0);
}

// Milliseconds of virtual time that exp takes over `count` floats.
float exp_time(int64_t count, aclrtStream stream) {
  const Memory memory(static_cast<size_t>(count) * 4);
  aclTensor* x =
      aclCreateTensor(&count, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &count, 1, memory.get());
  aclrtEvent start = new_event(), end = new_event();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
  EXPECT_EQ(aclrtRecordEvent(start, stream), 0);
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream), 0);
  EXPECT_EQ(aclrtRecordEvent(end, stream), 0);
  EXPECT_EQ(aclrtSynchronizeEvent(end), 0);
  float ms = 0;
  EXPECT_EQ(aclrtEventElapsedTime(&ms, start, end), 0) << recent_error();
  for (aclrtEvent event : {start, end}) EXPECT_EQ(aclrtDestroyEvent(event), 0);
  aclDestroyTensor(x);
  return ms;
}

// 16 Mi floats are read and written at 69 % of 1759.2 GB/s; a small operator takes the launch floor
// of 5.1 µs and the half microsecond by which the host's call follows the record.
TEST_F(StreamTest, ElapsedTimeIsTheChipsNotThisMachines) {
  const double bytes = 2.0 * 4 * (1 << 24);
  EXPECT_NEAR(exp_time(1 << 24, stream_), bytes / (0.69 * 1759.2e9) * 1e3, 1e-3);
  EXPECT_NEAR(exp_time(4, stream_), 5.1e-3, 0.6e-3);
  EXPECT_FLOAT_EQ(exp_time(1 << 20, stream_), exp_time(1 << 20, stream_));
}

TEST_F(StreamTest, EventsThatAreNotReadyHaveNoTime) {
  aclrtEvent start = new_event(), end = new_event();
  float ms = 0;
  EXPECT_EQ(aclrtEventElapsedTime(&ms, start, end), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("argument startEvent: the event was never recorded"));
  for (aclrtEvent event : {start, end}) EXPECT_EQ(aclrtDestroyEvent(event), 0);
}

TEST_F(StreamTest, AFaultStaysUntilTheStreamIsDestroyed) {
  const Tensor x(ACL_FLOAT, {1}, {1});
  aclrtStream broken = nullptr;
  ASSERT_EQ(aclrtCreateStream(&broken), 0);
  enqueue_fault(broken);
  EXPECT_EQ(add_one(x, broken), 0);  // accepted, never run
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(aclrtSynchronizeStream(broken), 507013);
    EXPECT_THAT(recent_error(), HasSubstr("aclrtMemsetAsync failed on stream"));
  }
  EXPECT_EQ(aclrtSynchronizeDevice(), 507013);
  EXPECT_EQ(x.fetch()[0], 1);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);  // others go on
  EXPECT_EQ(aclrtDestroyStream(broken), 0);
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
}

TEST_F(StreamTest, AFaultPassesThroughEvents) {
  aclrtStream broken = nullptr, waiting = nullptr;
  ASSERT_EQ(aclrtCreateStream(&broken), 0);
  ASSERT_EQ(aclrtCreateStream(&waiting), 0);
  aclrtEvent event = new_event();
  enqueue_fault(broken);
  ASSERT_EQ(aclrtRecordEvent(event, broken), 0);
  ASSERT_EQ(aclrtStreamWaitEvent(waiting, event), 0);
  EXPECT_EQ(aclrtSynchronizeEvent(event), 507013);
  EXPECT_EQ(aclrtSynchronizeStream(waiting), 507013);
  EXPECT_EQ(aclrtDestroyEvent(event), 0);
  EXPECT_EQ(aclrtDestroyStream(broken), 0);
  EXPECT_EQ(aclrtDestroyStream(waiting), 0);
}

TEST_F(StreamTest, DeadAndForeignHandlesAreErrors) {
  aclrtStream gone = nullptr;
  ASSERT_EQ(aclrtCreateStream(&gone), 0);
  ASSERT_EQ(aclrtDestroyStream(gone), 0);
  EXPECT_EQ(aclrtSynchronizeStream(gone), 107017);
  EXPECT_THAT(recent_error(), HasSubstr("is no live aclrtStream"));
  aclrtEvent event = new_event();
  EXPECT_EQ(aclrtSynchronizeStream(event), 107017);
  EXPECT_THAT(recent_error(), HasSubstr("got a handle of type aclrtEvent, expected aclrtStream"));
  EXPECT_EQ(aclrtDestroyEvent(event), 0);
}

TEST_F(StreamTest, ExecutorsAreUsedUp) {
  const Tensor x(ACL_FLOAT, {1}, {0});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
  EXPECT_EQ(aclnnInplaceSin(nullptr, 0, executor, stream_), 161002);
  EXPECT_THAT(recent_error(), HasSubstr("it was made by aclnnInplaceExpGetWorkspaceSize"));
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream_), 0);
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream_), 161002);
  EXPECT_THAT(recent_error(), HasSubstr("used up by an earlier call"));
  ASSERT_EQ(aclnnInplaceExpGetWorkspaceSize(x, &size, &executor), 0);
  EXPECT_EQ(aclSetAclOpExecutorRepeatable(executor), 0);
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream_), 0);
  EXPECT_EQ(aclnnInplaceExp(nullptr, 0, executor, stream_), 0);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);
}

TEST_F(GraphTest, CaptureRunsNothingAndReplayRunsAll) {
  const Tensor x(ACL_FLOAT, {3}, {0, 0, 0});
  aclmdlRI graph = nullptr;
  ASSERT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_RELAXED), 0);
  ASSERT_EQ(add_one(x, stream_, 2), 0);
  ASSERT_EQ(aclmdlRICaptureEnd(stream_, &graph), 0) << recent_error();
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_EQ(x.fetch()[0], 0);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(x.fetch(), testing::Each(14));
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  EXPECT_EQ(aclmdlRIExecuteAsync(graph, stream_), 107017);
}

TEST_F(GraphTest, StreamsJoinThroughEvents) {
  const Tensor x(ACL_FLOAT, {1}, {0}), y(ACL_FLOAT, {1}, {0});
  aclrtStream side = nullptr;
  ASSERT_EQ(aclrtCreateStream(&side), 0);
  aclrtEvent fork = new_event(), join = new_event();
  aclmdlRI graph = nullptr;
  ASSERT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL), 0);
  ASSERT_EQ(aclrtRecordEvent(fork, stream_), 0);
  ASSERT_EQ(aclrtStreamWaitEvent(side, fork), 0);
  ASSERT_EQ(add_one(x, stream_), 0);
  ASSERT_EQ(add_one(y, side), 0);
  ASSERT_EQ(aclrtRecordEvent(join, side), 0);
  ASSERT_EQ(aclrtStreamWaitEvent(stream_, join), 0);
  ASSERT_EQ(aclmdlRICaptureEnd(stream_, &graph), 0) << recent_error();
  ASSERT_EQ(aclrtSynchronizeStream(side), 0);
  EXPECT_EQ(y.fetch()[0], 0);
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_EQ(x.fetch()[0], 1);
  EXPECT_EQ(y.fetch()[0], 1);
  ASSERT_EQ(add_one(y, side), 0);  // the side stream is its own again
  ASSERT_EQ(aclrtSynchronizeStream(side), 0);
  EXPECT_EQ(y.fetch()[0], 2);
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  for (aclrtEvent event : {fork, join}) EXPECT_EQ(aclrtDestroyEvent(event), 0);
  EXPECT_EQ(aclrtDestroyStream(side), 0);
}

TEST_F(GraphTest, SynchronisingInvalidatesACapture) {
  aclmdlRI graph = nullptr;
  EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 107027);
  ASSERT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL), 0);
  EXPECT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL), 107027);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 107027);
  EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 507903);
  EXPECT_THAT(recent_error(), HasSubstr("a captured stream was synchronised"));
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);
}

}  // namespace
}  // namespace emulator_test
