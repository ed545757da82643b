// aclmdlRI*: graph capture and replay.
#include "acl/acl.h"
#include "runtime/error.h"
#include "runtime/graph.h"
#include "runtime/handles.h"

using namespace lotse::emulator;

namespace {

using GraphHandle = std::shared_ptr<Graph>;

Graph& graph_of(aclmdlRI handle) {
  check_handle(handle, HandleKind::graph, "modelRI", kInvalidHandle);
  return **static_cast<GraphHandle*>(handle);
}

std::shared_ptr<Graph> capture_of(aclrtStream stream) {
  Stream& captured = stream_of(stream);
  auto graph = captured.capture();
  if (!graph) fail(kCaptureState, "stream {} is not being captured", captured.number());
  return graph;
}

}  // namespace

LOTSE_C_API aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode) {
  return guarded("aclmdlRICaptureBegin", [&] {
    if (mode < ACL_MODEL_RI_CAPTURE_MODE_GLOBAL || mode > ACL_MODEL_RI_CAPTURE_MODE_RELAXED) {
      fail(kInvalidParameter, "argument mode: got {}, expected 0, 1 or 2", static_cast<int>(mode));
    }
    if (stream == nullptr) fail(kCaptureState, "the default stream cannot be captured");
    Stream& origin = stream_of(stream);
    if (origin.capture() != nullptr) {
      fail(kCaptureState, "stream {} is being captured already", origin.number());
    }
    origin.begin_capture(std::make_shared<Graph>());
  });
}

LOTSE_C_API aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI* modelRI) {
  return guarded("aclmdlRICaptureEnd", [&] {
    require_pointer(modelRI, "modelRI");
    auto graph = capture_of(stream);
    graph->end(stream_of(stream));
    *modelRI = hand_out(std::make_unique<GraphHandle>(std::move(graph)), HandleKind::graph);
  });
}

LOTSE_C_API aclError aclmdlRIExecuteAsync(aclmdlRI modelRI, aclrtStream stream) {
  return guarded("aclmdlRIExecuteAsync", [&] { graph_of(modelRI).replay(stream_of(stream)); });
}

LOTSE_C_API aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream) {
  return guarded("aclmdlRICaptureTaskGrpBegin", [&] {
    const Stream& captured = stream_of(stream);
    capture_of(stream)->begin_group(captured);
  });
}

LOTSE_C_API aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp* handle) {
  return guarded("aclmdlRICaptureTaskGrpEnd", [&] {
    require_pointer(handle, "handle");
    *handle = capture_of(stream)->end_group(stream_of(stream));
  });
}

LOTSE_C_API aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp handle) {
  return guarded("aclmdlRICaptureTaskUpdateBegin", [&] {
    check_handle(handle, HandleKind::task_group, "handle", kInvalidHandle);
    stream_of(stream).begin_update(*static_cast<TaskGroup*>(handle));
  });
}

LOTSE_C_API aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream) {
  return guarded("aclmdlRICaptureTaskUpdateEnd", [&] {
    Stream& updating = stream_of(stream);
    auto [group, tasks] = updating.end_update();
    check_handle(group, HandleKind::task_group, "handle", kInvalidHandle);
    if (tasks.empty()) return;
    group->graph.update(*group, std::move(tasks));
    updating.enqueue(update_task(*group));
  });
}

LOTSE_C_API aclError aclmdlRIDestroy(aclmdlRI modelRI) {
  return guarded("aclmdlRIDestroy", [&] {
    take_back(static_cast<GraphHandle*>(modelRI), HandleKind::graph, "modelRI", kInvalidHandle);
  });
}
