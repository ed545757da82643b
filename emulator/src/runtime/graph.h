// A captured graph: the tasks of one stream, and of streams that joined it through events, in the
// order in which they were issued, which respects every dependence among them.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "runtime/stream.h"

namespace lotse::emulator {

class Graph {
 public:
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

  // Ends the capture for `origin` and the streams that joined; throws kCaptureInvalidated.
  void end(Stream& origin);

  // Enqueues every task on `stream`.
  void replay(Stream& stream) const;

 private:
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Stream*> joined_;
  std::string invalid_;
  bool ended_ = false;
  HazardDetector hazards_;  // among the streams of the capture
};

}  // namespace lotse::emulator
