#include "runtime/graph.h"

#include "runtime/error.h"

namespace lotse::emulator {

void Graph::add(const Stream& stream, Task task) {
  if (hazards() != nullptr) {
    if (auto race = hazards_.add(stream.number(), stream.device(), task)) invalidate(*race);
  }
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
}

bool Graph::join(Stream& stream) {
  const std::lock_guard lock(mutex_);
  if (!ended_) joined_.push_back(&stream);
  return !ended_;
}

void Graph::invalidate(std::string reason) {
  const std::lock_guard lock(mutex_);
  if (invalid_.empty()) invalid_ = std::move(reason);
}

void Graph::end(Stream& origin) {
  std::vector<Stream*> joined;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    joined.swap(joined_);
  }
  origin.end_capture();
  for (Stream* stream : joined) stream->end_capture();
  if (!invalid_.empty()) fail(kCaptureInvalidated, "the capture is invalid: {}", invalid_);
}

void Graph::replay(Stream& stream) const {
  for (const Task& task : tasks_) stream.enqueue(task);
}

}  // namespace lotse::emulator
