#include "device/ascend/graph.h"

namespace lotse::ascend {
namespace {

// Restricts what the capturing thread may call, not what others do.
constexpr int kThreadLocalCapture = 1;

}  // namespace

Result<std::unique_ptr<Graph>> Graph::begin(const Library& library, AclStream stream) {
  std::unique_ptr<Graph> graph(new Graph(library, stream));
  LOTSE_TRY(
      check(library, "aclmdlRICaptureBegin", library.capture_begin(stream, kThreadLocalCapture)));
  graph->is_capturing_ = true;
  return graph;
}

Graph::~Graph() {
  if (is_capturing_) library_.capture_end(stream_, &handle_);
  if (handle_ == nullptr) return;
  library_.synchronise(stream_);
  library_.destroy_graph(handle_);
}

Result<void> Graph::end() {
  is_capturing_ = false;
  return check(library_, "aclmdlRICaptureEnd", library_.capture_end(stream_, &handle_));
}

void Graph::begin_update() {
  is_updating_ = true;
  next_ = 0;
}

void Graph::end_update() {
  LOTSE_CHECK(next_ == groups_.size());
  is_updating_ = false;
}

Result<void> Graph::replay() {
  return check(library_, "aclmdlRIExecuteAsync", library_.execute_graph(handle_, stream_));
}

Result<void> Graph::open() {
  if (is_capturing_) {
    return check(library_, "aclmdlRICaptureTaskGrpBegin", library_.group_begin(stream_));
  }
  LOTSE_CHECK(next_ < groups_.size());
  return check(library_, "aclmdlRICaptureTaskUpdateBegin",
               library_.update_begin(stream_, groups_[next_++]));
}

Result<void> Graph::close() {
  if (!is_capturing_) {
    return check(library_, "aclmdlRICaptureTaskUpdateEnd", library_.update_end(stream_));
  }
  AclTaskGroup group = nullptr;
  LOTSE_TRY(check(library_, "aclmdlRICaptureTaskGrpEnd", library_.group_end(stream_, &group)));
  groups_.push_back(group);
  return {};
}

}  // namespace lotse::ascend
