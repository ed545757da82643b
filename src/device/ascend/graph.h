// A step captured from a stream, which one call runs again.
#pragma once

#include <memory>
#include <vector>

#include "device/ascend/library.h"

namespace lotse::ascend {

// Operators whose arguments lie on the host, as attention's lengths do, are frozen by a capture:
// each is a task group of its own, and an update gives it new arguments before a replay. All of it
// happens on one stream, so that an update comes after the last replay and before the next.
class Graph {
 public:
  // Begins a capture: what is launched on `stream` until end() becomes the graph and is not run.
  static Result<std::unique_ptr<Graph>> begin(const Library& library, AclStream stream);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();  // waits for the stream

  Result<void> end();
  // Between the two the operators that open() and close() surround replace those of the capture,
  // all of them and in its order.
  void begin_update();
  void end_update();
  bool is_updating() const { return is_updating_; }
  Result<void> replay();

  // Around the launch of an operator that updates replace, while capturing or updating.
  Result<void> open();
  Result<void> close();

 private:
  Graph(const Library& library, AclStream stream) : library_(library), stream_(stream) {}

  const Library& library_;
  AclStream stream_;
  AclGraph handle_ = nullptr;  // null while it is captured
  std::vector<AclTaskGroup> groups_;
  bool is_capturing_ = false;
  bool is_updating_ = false;
  size_t next_ = 0;  // the group that the next operator of an update replaces
};

}  // namespace lotse::ascend
