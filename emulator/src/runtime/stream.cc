#include "runtime/stream.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/graph.h"
#include "runtime/handles.h"
#include "runtime/trace.h"

namespace lotse::emulator {
namespace {

std::atomic<int64_t> stream_count{0};
thread_local Timing* current_timing = nullptr;

struct LiveStreams {
  std::mutex mutex;
  std::set<Stream*> all;
};

LiveStreams& live_streams() {
  static auto& instance = *new LiveStreams;
  return instance;
}

}  // namespace

Timing& running_timing() { return *current_timing; }

void Marker::complete(std::optional<Fault> fault) {
  const std::lock_guard lock(mutex_);
  done_ = true;
  fault_ = std::move(fault);
  condition_.notify_all();
}

std::optional<Fault> Marker::wait() {
  std::unique_lock lock(mutex_);
  condition_.wait(lock, [this] { return done_; });
  return fault_;
}

std::optional<Fault> Marker::wait_on_host() {
  auto fault = wait();
  if (hazards() != nullptr) hazards()->host_waited(order);
  host_waits_until(time);
  return fault;
}

bool Marker::completed() {
  const std::lock_guard lock(mutex_);
  return done_;
}

Stream::Stream(int32_t device) : device_(device), number_(stream_count++) {
  const std::lock_guard lock(live_streams().mutex);
  live_streams().all.insert(this);
}

Stream::~Stream() {
  {
    const std::lock_guard lock(live_streams().mutex);
    live_streams().all.erase(this);
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  condition_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (hazards() != nullptr) hazards()->end(number_);
}

void Stream::push(Item item) {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  item.issued_us = host_time();
  queue_.push_back(std::move(item));
  condition_.notify_all();
}

void Stream::enqueue(Task task) {
  const std::lock_guard lock(mutex_);
  if (graph_ != nullptr) {
    graph_->add(*this, std::move(task));
    return;
  }
  if (updated_ != nullptr) {
    update_.push_back(std::move(task));
    return;
  }
  std::optional<Fault> fault;
  if (hazards() != nullptr) {
    if (auto race = hazards()->add(number_, device_, task)) fault = {kHazard, std::move(*race)};
  }
  if (task.issue) task.issue(task);
  push({.task = std::move(task), .waits = nullptr, .completes = nullptr, .fault = fault});
}

std::shared_ptr<Marker> Stream::record() {
  auto marker = std::make_shared<Marker>();
  const std::lock_guard lock(mutex_);
  require_no_update();
  if (graph_ != nullptr) {
    marker->captured = true;
    marker->graph = graph_;
    marker->order = graph_->record(*this);
    return marker;
  }
  if (hazards() != nullptr) marker->order = hazards()->record(number_);
  push({.task = {}, .waits = nullptr, .completes = marker});
  return marker;
}

void Stream::wait(std::shared_ptr<Marker> marker) {
  const std::lock_guard lock(mutex_);
  require_no_update();
  if (marker->captured) {
    const auto graph = marker->graph.lock();
    if (graph_ == nullptr && graph && graph->join(*this)) graph_ = graph;
    if (graph_ != nullptr && graph_ == graph) graph->wait(*this, marker->order);
    return;
  }
  if (graph_ != nullptr) {
    graph_->invalidate("a captured stream waits for an event recorded outside of the capture");
    return;
  }
  if (hazards() != nullptr) hazards()->wait(number_, marker->order);
  push({.task = {}, .waits = std::move(marker), .completes = nullptr});
}

void Stream::synchronize() {
  if (const auto graph = capture()) {
    graph->invalidate("a captured stream was synchronised");
    fail(kCaptureState, "stream {} is being captured; it cannot be synchronised", number_);
  }
  const auto fault = record()->wait_on_host();
  if (fault) throw Error(fault->code, fault->text);
}

void Stream::fail_later(Fault fault) {
  const std::lock_guard lock(mutex_);
  push({.task = {}, .waits = nullptr, .completes = nullptr, .fault = std::move(fault)});
}

void Stream::begin_capture(std::shared_ptr<Graph> graph) {
  const std::lock_guard lock(mutex_);
  graph_ = std::move(graph);
}

void Stream::end_capture() {
  const std::lock_guard lock(mutex_);
  graph_.reset();
}

std::shared_ptr<Graph> Stream::capture() {
  const std::lock_guard lock(mutex_);
  return graph_;
}

void Stream::require_no_update() const {
  if (updated_ == nullptr) return;
  fail(kCaptureState,
       "stream {} updates a graph; only operators may come before aclmdlRICaptureTaskUpdateEnd",
       number_);
}

void Stream::begin_update(TaskGroup& group) {
  const std::lock_guard lock(mutex_);
  require_no_update();
  if (graph_ != nullptr) fail(kCaptureState, "stream {} is being captured", number_);
  updated_ = &group;
}

std::pair<TaskGroup*, std::vector<Task>> Stream::end_update() {
  const std::lock_guard lock(mutex_);
  if (updated_ == nullptr) fail(kCaptureState, "stream {} updates no graph", number_);
  return {std::exchange(updated_, nullptr), std::exchange(update_, {})};
}

void Stream::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    condition_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Item item = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    execute(item);
    lock.lock();
  }
}

void Stream::execute(const Item& item) {
  if (item.waits) {
    if (const auto fault = item.waits->wait(); fault && !fault_) fault_ = fault;
    ready_ = std::max(ready_, item.waits->time);
  }
  if (item.fault && !fault_) fault_ = item.fault;
  if (item.task.run) run_task(item);
  if (item.completes) {
    ready_ = std::max(ready_, item.issued_us);
    item.completes->time = ready_;
    item.completes->complete(fault_);
  }
}

void Stream::run_task(const Item& item) {
  const Task& task = item.task;
  if (fault_) {
    if (task.abandon) task.abandon(fault_->text);
    return;
  }
  Timing timing{std::max(ready_, item.issued_us), duration_of(task.cost)};
  current_timing = &timing;
  try {
    task.run();
  } catch (const Error& error) {
    set_fault(error.code(), fmt::format("{} failed on stream {} of device {}: {}", task.name,
                                        number_, device_, error.text()));
  } catch (const std::exception& error) {
    set_fault(kInternalError, fmt::format("{}: {}", task.name, error.what()));
  }
  ready_ = timing.start_us + timing.duration.us;
  if (tracing() && timing.duration.us > 0) {
    trace({task.name, device_, number_, timing.start_us, timing.duration});
  }
}

void Stream::set_fault(int code, std::string text) { fault_ = Fault{code, std::move(text)}; }

Stream& stream_of(void* handle, const char* argument) {
  if (handle == nullptr) return current_device().default_stream();
  check_handle(handle, HandleKind::stream, argument, kInvalidHandle);
  return *static_cast<Stream*>(handle);
}

void synchronize_streams(int32_t device) {
  std::vector<std::shared_ptr<Marker>> markers;
  {
    const std::lock_guard lock(live_streams().mutex);
    for (Stream* stream : live_streams().all) {
      if (stream->device() != device) continue;
      if (stream->capture() != nullptr) {
        fail(kCaptureState,
             "stream {} of device {} is being captured; end the capture before "
             "synchronising the device",
             stream->number(), device);
      }
      markers.push_back(stream->record());
    }
  }
  std::optional<Fault> first;
  for (const auto& marker : markers) {
    if (const auto fault = marker->wait_on_host(); fault && !first) first = fault;
  }
  if (first) throw Error(first->code, first->text);
}

void require_no_hazard(const char* function, const Access& access) {
  if (hazards() == nullptr) return;
  if (auto text = hazards()->host_access(function, access)) throw Error(kHazard, std::move(*text));
}

void end_of_memory(uintptr_t begin, size_t size) {
  if (hazards() == nullptr) return;
  auto early = hazards()->freed(begin, size);
  if (!early) return;
  const std::lock_guard lock(live_streams().mutex);
  for (Stream* stream : live_streams().all) {
    if (stream->number() == early->stream) stream->fail_later({kHazard, early->text});
  }
}

void begin_of_memory(uintptr_t begin, size_t size) {
  if (hazards() != nullptr) hazards()->forget(begin, size);
}

}  // namespace lotse::emulator
