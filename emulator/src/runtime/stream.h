// Streams: each runs its tasks in order on a thread of its own, begun at the first task. Virtual
// time is computed when a task is enqueued; what it reads and writes, only when it runs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/api.h"
#include "runtime/cost.h"

namespace lotse::emulator {

class Graph;

// A range of device memory that a task touches.
struct Access {
  uintptr_t begin = 0;
  size_t size = 0;
  bool writes = false;
  std::string argument{};
};

struct Task {
  std::string name;           // the operator or function, for messages and traces
  std::function<void()> run;  // throws Error for a fault; may run more than once (graphs)
  Cost cost{};
  std::vector<Access> accesses{};
};

struct Fault {
  int code = 0;
  std::string text;
};

// A point in a stream's order: an event's record, or the end of the queue.
class Marker {
 public:
  double time = 0;  // virtual
  bool captured = false;
  std::weak_ptr<Graph> graph;  // that the point belongs to, when it was captured

  void complete(std::optional<Fault> fault);
  // Waits for the point; the fault, if any, of the work before it.
  std::optional<Fault> wait();
  bool completed();

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool done_ = false;
  std::optional<Fault> fault_;
};

class LOTSE_EMULATOR_API Stream {
 public:
  explicit Stream(int32_t device);
  ~Stream();  // finishes the queue
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int32_t device() const { return device_; }
  int64_t number() const { return number_; }

  // Runs `task` after what was enqueued before; while captured, adds it to the graph instead.
  void enqueue(Task task);
  std::shared_ptr<Marker> record();
  void wait(std::shared_ptr<Marker> marker);

  // Waits until the queue is empty and moves the host's clock. Throws the first fault, now and at
  // every later call: as on hardware, a stream that faulted stays so until it is destroyed.
  void synchronize();

  void begin_capture(std::shared_ptr<Graph> graph);
  void end_capture();
  std::shared_ptr<Graph> capture();  // null while tasks run

 private:
  struct Item {
    Task task;
    std::shared_ptr<Marker> waits;
    std::shared_ptr<Marker> completes;
  };
  void push(Item item);
  void advance_clock(const Task& task);
  void work();
  void execute(const Item& item);
  void set_fault(int code, std::string text);

  const int32_t device_;
  const int64_t number_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  double ready_ = 0;  // virtual time at which the last enqueued task ends
  std::shared_ptr<Graph> graph_;
  std::optional<Fault> fault_;
  std::thread thread_;
};

// The stream behind a handle; null is the current device's default stream.
LOTSE_EMULATOR_API Stream& stream_of(void* handle, const char* argument = "stream");

// Waits for every stream of a device; throws the first fault found.
void synchronize_streams(int32_t device);

}  // namespace lotse::emulator
