#include "runtime/graph.h"

#include <cstdlib>

#include "runtime/error.h"
#include "runtime/handles.h"

namespace lotse::emulator {
namespace {

Access use_of(const TaskGroup& group, bool writes) {
  return {.begin = reinterpret_cast<uintptr_t>(&group),
          .size = 1,
          .writes = writes,
          .argument = "task group",
          .is_object = true};
}

// Assumed: what changing one task of a graph takes the device.
constexpr double kUpdateMicroseconds = 1;

// Chips run out of stream resources when graphs are large or many; here on request.
size_t most_tasks() {
  const char* text = std::getenv("LOTSE_EMULATOR_GRAPH_TASKS");
  return text == nullptr ? SIZE_MAX : std::strtoull(text, nullptr, 10);
}

}  // namespace

Graph::~Graph() {
  for (const auto& group : groups_) {
    unregister_handle(group.get(), HandleKind::task_group, "handle", kInvalidHandle);
  }
}

void Graph::add(const Stream& stream, Task task) {
  if (grouping_ >= 0) {
    if (grouping_ != stream.number()) {
      invalidate("a stream issued a task while a task group of another one was open");
    } else if (!task.name.starts_with("aclnn")) {
      fail(kFeatureNotSupported, "{} in a task group; only operators can be updated", task.name);
    } else {
      task.accesses.push_back(use_of(*groups_.back(), false));
      ++groups_.back()->count;
    }
  }
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

void Graph::begin_group(const Stream& stream) {
  if (grouping_ >= 0) fail(kCaptureState, "a task group of the capture is open already");
  grouping_ = stream.number();
  const std::lock_guard lock(mutex_);
  groups_.push_back(std::make_unique<TaskGroup>(TaskGroup{*this, tasks_.size()}));
  begin_of_memory(reinterpret_cast<uintptr_t>(groups_.back().get()), 1);
  register_handle(groups_.back().get(), HandleKind::task_group);
}

TaskGroup* Graph::end_group(const Stream& stream) {
  if (grouping_ != stream.number()) {
    fail(kCaptureState, "stream {} has no open task group", stream.number());
  }
  grouping_ = -1;
  return groups_.back().get();
}

void Graph::update(const TaskGroup& group, std::vector<Task> tasks) {
  if (tasks.empty()) return;
  if (tasks.size() != group.count) {
    fail(kInvalidParameter, "the update has {} tasks, the task group {}", tasks.size(),
         group.count);
  }
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < tasks.size(); ++i) {
    Task& old = tasks_[group.begin + i];
    if (tasks[i].name != old.name) {
      fail(kInvalidParameter, "task {} of the update is {}, of the task group {}", i, tasks[i].name,
           old.name);
    }
  }
  for (size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].accesses.push_back(use_of(group, false));
    tasks_[group.begin + i] = std::move(tasks[i]);
  }
}

Task update_task(const TaskGroup& group) {
  return {.name = "aclmdlRICaptureTaskUpdate",
          .run = [] {},
          .cost = {.fixed_us = kUpdateMicroseconds * static_cast<double>(group.count)},
          .accesses = {use_of(group, true)}};
}

void Graph::end(Stream& origin) {
  if (grouping_ >= 0) invalidate("a task group is open");
  std::vector<Stream*> joined;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    joined.swap(joined_);
  }
  origin.end_capture();
  for (Stream* stream : joined) stream->end_capture();
  if (const auto most = most_tasks(); tasks_.size() > most) {
    fail(kNoStreamResources, "{} tasks are captured, LOTSE_EMULATOR_GRAPH_TASKS allows {}",
         tasks_.size(), most);
  }
  if (!invalid_.empty()) fail(kCaptureInvalidated, "the capture is invalid: {}", invalid_);
}

void Graph::replay(Stream& stream) const {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks = tasks_;
  }
  for (Task& task : tasks) stream.enqueue(std::move(task));
}

}  // namespace lotse::emulator
