// Streams: each runs its tasks in order on a thread of its own, begun at the first task. Virtual
// time follows from the host's clock when a task is enqueued and from what ran before it, so it
// does not depend on when this computer runs the task.
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
#include <utility>
#include <vector>

#include "runtime/api.h"
#include "runtime/cost.h"
#include "runtime/hazards.h"

namespace lotse::emulator {

class Graph;
struct TaskGroup;

// A range of device memory that a task touches.
struct Access {
  uintptr_t begin = 0;
  size_t size = 0;
  bool writes = false;
  std::string argument{};
  // `run` bytes in each `period`, which is 0 where all are touched; irregular: some of them.
  size_t run = 0, period = 0;
  bool irregular = false;
  bool is_object = false;  // the range stands for an object of the runtime
};

struct Task {
  std::string name;             // the operator or function, for messages and traces
  std::function<void()> run{};  // throws Error for a fault; may run more than once (graphs)
  Cost cost{};
  std::vector<Access> accesses{};
  // Called whenever the task joins a stream's queue, in the queue's order, so not while captured
  // but at every replay; may set `run` and `abandon`.
  std::function<void(Task&)> issue{};
  // Called in place of `run` when an earlier fault, with this text, stopped the stream.
  std::function<void(const std::string& fault)> abandon{};
  bool meets_others = false;  // a collective: other devices' work before theirs comes before it
};

// When a task runs in virtual time. What depends on other ranks is known only while it runs.
struct Timing {
  double start_us = 0;
  Duration duration;
};
// Of the task that the calling thread runs; the task may move its start and set its duration.
LOTSE_EMULATOR_API Timing& running_timing();

struct Fault {
  int code = 0;
  std::string text;
};

// A point in a stream's order: an event's record, or the end of the queue.
class Marker {
 public:
  double time = 0;      // virtual; known once completed
  VectorClock order{};  // the work that comes before
  bool captured = false;
  std::weak_ptr<Graph> graph;  // that the point belongs to, when it was captured

  void complete(std::optional<Fault> fault);
  // Waits for the point; the fault, if any, of the work before it.
  std::optional<Fault> wait();
  // As wait, for the host: moves its clock, and what comes before the point is known to be done.
  std::optional<Fault> wait_on_host();
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

  // Puts a fault at the end of the queue.
  void fail_later(Fault fault);

  void begin_capture(std::shared_ptr<Graph> graph);
  void end_capture();
  std::shared_ptr<Graph> capture();  // null while tasks run

  // Until the end of the update, tasks are collected in place of run; its group and the tasks.
  void begin_update(TaskGroup& group);
  std::pair<TaskGroup*, std::vector<Task>> end_update();

 private:
  struct Item {
    Task task;
    std::shared_ptr<Marker> waits;
    std::shared_ptr<Marker> completes;
    std::optional<Fault> fault{};
    double issued_us = 0;  // the host's clock
  };
  void push(Item item);
  void require_no_update() const;
  void work();
  void execute(const Item& item);
  void run_task(const Item& item);
  void set_fault(int code, std::string text);

  const int32_t device_;
  const int64_t number_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::shared_ptr<Graph> graph_;
  TaskGroup* updated_ = nullptr;
  std::vector<Task> update_;
  std::thread thread_;
  // The worker's alone:
  double ready_ = 0;  // virtual time at which the last task ended
  std::optional<Fault> fault_;
};

// The stream behind a handle; null is the current device's default stream.
LOTSE_EMULATOR_API Stream& stream_of(void* handle, const char* argument = "stream");

// Waits for every stream of a device; throws the first fault found.
void synchronize_streams(int32_t device);

// Before the host itself reads or writes device memory: throws kHazard when a stream may still be
// at it.
void require_no_hazard(const char* function, const Access& access);

// Memory ends or begins its life. A stream that may still use what ends gets a fault.
void end_of_memory(uintptr_t begin, size_t size);
void begin_of_memory(uintptr_t begin, size_t size);

}  // namespace lotse::emulator
