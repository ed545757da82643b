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
    Stream& origin = stream_of(stream);
    auto graph = origin.capture();
    if (!graph) fail(kCaptureState, "stream {} is not being captured", origin.number());
    graph->end(origin);
    *modelRI = hand_out(std::make_unique<GraphHandle>(std::move(graph)), HandleKind::graph);
  });
}

LOTSE_C_API aclError aclmdlRIExecuteAsync(aclmdlRI modelRI, aclrtStream stream) {
  return guarded("aclmdlRIExecuteAsync", [&] { graph_of(modelRI).replay(stream_of(stream)); });
}

LOTSE_C_API aclError aclmdlRIDestroy(aclmdlRI modelRI) {
  return guarded("aclmdlRIDestroy", [&] {
    take_back(static_cast<GraphHandle*>(modelRI), HandleKind::graph, "modelRI", kInvalidHandle);
  });
}
