// Operators of a captured graph that are given other arguments between replays.
#include <cstdlib>

#include "aclnnop/elementwise.h"
#include "support.h"

namespace emulator_test {
namespace {

using testing::HasSubstr;

class GraphUpdateTest : public DeviceTest {
 protected:
  GraphUpdateTest() { EXPECT_EQ(aclrtCreateStream(&stream_), 0); }
  ~GraphUpdateTest() override { EXPECT_EQ(aclrtDestroyStream(stream_), 0); }

  int add(float value, aclrtStream stream) {
    const Scalar one(1.0f), by(value);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    const int code = aclnnInplaceAddsGetWorkspaceSize(x_, by, one, &size, &executor);
    return code == 0 ? aclnnInplaceAdds(nullptr, 0, executor, stream) : code;
  }

  int multiply(float value, aclrtStream stream) {
    const Scalar by(value);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    const int code = aclnnInplaceMulsGetWorkspaceSize(x_, by, &size, &executor);
    return code == 0 ? aclnnInplaceMuls(nullptr, 0, executor, stream) : code;
  }

  // x ← (x + 1) · 2, of which the addition is a group.
  aclmdlRI capture(aclrtTaskGrp* group) {
    aclmdlRI graph = nullptr;
    EXPECT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL), 0);
    EXPECT_EQ(aclmdlRICaptureTaskGrpBegin(stream_), 0);
    EXPECT_EQ(add(1, stream_), 0);
    EXPECT_EQ(aclmdlRICaptureTaskGrpEnd(stream_, group), 0);
    EXPECT_EQ(multiply(2, stream_), 0);
    EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 0) << recent_error();
    return graph;
  }

  double replayed(aclmdlRI graph) {
    EXPECT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
    EXPECT_EQ(aclrtSynchronizeStream(stream_), 0) << recent_error();
    return x_.fetch()[0];
  }

  const Tensor x_{ACL_FLOAT, {1}, {0}};
  aclrtStream stream_ = nullptr;
};

TEST_F(GraphUpdateTest, AnUpdateReplacesTheGroupAlone) {
  aclrtTaskGrp group = nullptr;
  aclmdlRI graph = capture(&group);
  EXPECT_EQ(replayed(graph), 2);
  ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 0);
  ASSERT_EQ(add(10, stream_), 0);
  ASSERT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 0) << recent_error();
  EXPECT_EQ(x_.fetch()[0], 2);  // the update itself runs nothing
  EXPECT_EQ(replayed(graph), 24);
  EXPECT_EQ(replayed(graph), 68);
  ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 0);  // an empty one changes nothing
  ASSERT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 0);
  EXPECT_EQ(replayed(graph), 156);
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
}

TEST_F(GraphUpdateTest, OtherTasksThanTheGroupsAreRefused) {
  aclrtTaskGrp group = nullptr;
  aclmdlRI graph = capture(&group);
  ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 0);
  ASSERT_EQ(multiply(10, stream_), 0);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("task 0 of the update is aclnnInplaceMuls, of the task "
                                        "group aclnnInplaceAdds"));
  ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 0);
  ASSERT_EQ(add(1, stream_), 0);
  ASSERT_EQ(add(1, stream_), 0);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 107000);
  EXPECT_THAT(recent_error(), HasSubstr("the update has 2 tasks, the task group 1"));
  EXPECT_EQ(replayed(graph), 2);
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 107017);
}

TEST_F(GraphUpdateTest, CallsOutOfOrderAreErrors) {
  aclrtTaskGrp group = nullptr;
  EXPECT_EQ(aclmdlRICaptureTaskGrpBegin(stream_), 107027);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 107027);
  aclmdlRI graph = capture(&group);
  ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 107027);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateBegin(stream_, group), 107027);
  EXPECT_EQ(aclmdlRICaptureTaskUpdateEnd(stream_), 0);
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);

  ASSERT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL), 0);
  ASSERT_EQ(aclmdlRICaptureTaskGrpBegin(stream_), 0);
  EXPECT_EQ(aclmdlRICaptureTaskGrpBegin(stream_), 107027);
  float value = 1;
  EXPECT_EQ(aclrtMemcpyAsync(x_.data(), 4, &value, 4, ACL_MEMCPY_HOST_TO_DEVICE, stream_), 207000);
  EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 507903);
  EXPECT_THAT(recent_error(), HasSubstr("a task group is open"));
}

// An update on another stream must come before the replay that it is for, or after all of the last.
TEST_F(GraphUpdateTest, AnUpdateThatNothingOrdersIsARace) {
  aclrtTaskGrp group = nullptr;
  aclmdlRI graph = capture(&group);
  aclrtStream other = nullptr;
  ASSERT_EQ(aclrtCreateStream(&other), 0);
  const auto update = [&] {
    ASSERT_EQ(aclmdlRICaptureTaskUpdateBegin(other, group), 0);
    ASSERT_EQ(add(10, other), 0);
    ASSERT_EQ(aclmdlRICaptureTaskUpdateEnd(other), 0) << recent_error();
  };
  update();
  ASSERT_EQ(aclrtSynchronizeStream(other), 0);
  EXPECT_EQ(replayed(graph), 20);
  update();
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
  EXPECT_NE(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(recent_error(), HasSubstr("task group"));
  EXPECT_EQ(aclrtSynchronizeStream(other), 0);
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  EXPECT_EQ(aclrtDestroyStream(other), 0);
}

TEST_F(GraphUpdateTest, StreamResourcesRunOutOnRequest) {
  ::setenv("LOTSE_EMULATOR_GRAPH_TASKS", "1", 1);
  aclmdlRI graph = nullptr;
  ASSERT_EQ(aclmdlRICaptureBegin(stream_, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL), 0);
  ASSERT_EQ(add(1, stream_), 0);
  ASSERT_EQ(multiply(2, stream_), 0);
  EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 207008);
  ::unsetenv("LOTSE_EMULATOR_GRAPH_TASKS");
  ASSERT_EQ(add(1, stream_), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_EQ(x_.fetch()[0], 1);
}

}  // namespace
}  // namespace emulator_test
