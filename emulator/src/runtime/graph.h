// A captured graph: the tasks of one stream, and of streams that joined it through events, in the
// order in which they were issued, which respects every dependence among them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/stream.h"

namespace lotse::emulator {

// Adjacent operators of a graph that may be replaced after its capture. A live handle while the
// graph lives. Replays read it and updates write it, so that the hazard detector sees an update
// that nothing orders with a replay.
struct TaskGroup {
  Graph& graph;
  size_t begin;
  size_t count = 0;
};

// The task that stands for an update on the stream that makes it.
Task update_task(const TaskGroup& group);

class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void add(const Stream& stream, Task task);
  // A point of a captured stream, and another one that waits for it.
  VectorClock record(const Stream& stream) { return hazards_.record(stream.number()); }
  void wait(const Stream& stream, const VectorClock& recorded) {
    hazards_.wait(stream.number(), recorded);
  }
  // Whether `stream` joined: not after the end of the capture.
  bool join(Stream& stream);
  // Makes the capture useless: its end fails with this reason.
  void invalidate(std::string reason);

  // What `stream` issues between the two is one group; one is open at a time.
  void begin_group(const Stream& stream);
  TaskGroup* end_group(const Stream& stream);
  // `tasks`, as many and of the same operators, take the place of the group's, or none do; throws
  // kInvalidParameter.
  void update(const TaskGroup& group, std::vector<Task> tasks);

  // Ends the capture for `origin` and the streams that joined; throws kCaptureInvalidated, and
  // kNoStreamResources beyond LOTSE_EMULATOR_GRAPH_TASKS.
  void end(Stream& origin);

  // Enqueues every task on `stream`.
  void replay(Stream& stream) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<std::unique_ptr<TaskGroup>> groups_;
  int64_t grouping_ = -1;  // the number of the stream whose group, the last, is open
  std::vector<Stream*> joined_;
  std::string invalid_;
  bool ended_ = false;
  HazardDetector hazards_;  // among the streams of the capture
};

}  // namespace lotse::emulator
