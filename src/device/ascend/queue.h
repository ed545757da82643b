// One stream of one device: memory, copies and operators in order, with everything owned.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "device/ascend/graph.h"

namespace lotse::ascend {

int64_t bytes_of(AclType type, int64_t elements);

// A view of device memory: what an operator gets as a tensor. Strides and offset are in elements.
struct View {
  std::byte* data = nullptr;
  AclType type = AclType::f32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // as many as dimensions
  int64_t offset = 0;
  AclFormat format = AclFormat::nd;
  std::vector<int64_t> storage;  // of FRACTAL_NZ: the shape that memory has

  // Row-major and dense.
  static View dense(void* data, AclType type, std::vector<int64_t> shape);
  // The same memory under other dimensions.
  View as(std::vector<int64_t> new_shape, std::vector<int64_t> new_strides,
          int64_t more_offset = 0) const;
  // The first `rows` entries of the first dimension, from `first` on.
  View rows(int64_t first, int64_t count) const;
  int64_t elements() const;
};

// Owns one of the library's objects. Move-only.
template <class Object>
class Handle {
 public:
  Handle(const Object* object, const Function<AclStatus(const Object*)>& destroy)
      : object_(object), destroy_(&destroy) {}
  Handle(Handle&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), destroy_(other.destroy_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (object_ != nullptr) (*destroy_)(object_);
  }
  operator const Object*() const { return object_; }  // NOLINT: passed like the object itself
  // Gives ownership up.
  const Object* release() { return std::exchange(object_, nullptr); }

 private:
  const Object* object_;
  const Function<AclStatus(const Object*)>* destroy_;
};

// Device memory, freed with the object.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Library& library, std::byte* data, int64_t size)
      : library_(&library), data_(data), size_(size) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(library_, other.library_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) library_->release(data_);
  }

  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  const Library* library_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

// Not thread-safe: one caller at a time, on any thread.
class Queue {
 public:
  static Result<std::unique_ptr<Queue>> open(const Library& library, int32_t device);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  const Library& library() const { return library_; }
  AclStream stream() const { return stream_; }

  // Makes the device the calling thread's; every entry from outside begins with it.
  Result<void> enter() const;
  // Error: limit, with what was asked and what is free.
  Result<Buffer> allocate(int64_t bytes, const char* what) const;
  Result<Buffer> upload(std::span<const std::byte> bytes, const char* what) const;
  // Device to host, after everything queued before.
  Result<void> download(const void* from, std::span<std::byte> to) const;
  // Host to device in the order of the queue; `from` must stay until the next synchronise().
  Result<void> copy_in(void* to, std::span<const std::byte> from) const;
  // Waits for all that was queued. An error is that of whatever operator failed since the last.
  Result<void> synchronise() const;

  Handle<AclTensor> tensor(const View& view) const;
  Handle<AclScalar> scalar(float value) const;
  Handle<AclIntArray> ints(std::span<const int64_t> values) const;
  Handle<AclTensorList> list(const View& view) const;

  // Both phases of an operator, with workspace from a pool.
  template <class... Args>
  Result<void> run(const Operator<Args...>& op, std::type_identity_t<Args>... args) {
    return run_in(nullptr, op, args...);
  }
  // The same for an operator whose arguments on the host differ from step to step.
  template <class... Args>
  Result<void> run_updatable(const Operator<Args...>& op, std::type_identity_t<Args>... args) {
    return run_in(graph_, op, args...);
  }

  // Makes a graph of what `step` runs, which is not executed.
  Result<std::unique_ptr<Graph>> capture(const std::function<Result<void>()>& step);
  // `operators` runs what `step` ran by run_updatable(), in the same order, and nothing else.
  Result<void> update(Graph& graph, const std::function<Result<void>()>& operators);
  // Within `operators` of update().
  bool is_updating() const { return graph_ != nullptr && graph_->is_updating(); }
  // Counts the calls of allocate(): a graph that was captured before one may use memory that is
  // gone, since working memory that grows moves.
  int64_t allocations() const { return allocations_; }

  // What the device's clock says passed between two calls of mark(), in seconds: on the emulator a
  // prediction. The first mark starts; the second synchronises and returns.
  Result<void> start_timer();
  Result<double> stop_timer();

 private:
  Queue(const Library& library, int32_t device) : library_(library), device_(device) {}
  Result<void> reserve_workspace(int64_t bytes);

  // `graph`, where not null, is told of the launch.
  template <class... Args>
  Result<void> run_in(Graph* graph, const Operator<Args...>& op, Args... args) {
    uint64_t bytes = 0;
    AclExecutor* executor = nullptr;
    LOTSE_TRY(check(library_, op.name(), op.prepare(args..., &bytes, &executor)));
    LOTSE_TRY(reserve_workspace(static_cast<int64_t>(bytes)));
    if (graph != nullptr) LOTSE_TRY(graph->open());
    LOTSE_TRY(check(library_, op.name(), op.launch(workspace_.data(), bytes, executor, stream_)));
    return graph == nullptr ? Result<void>() : graph->close();
  }

  const Library& library_;
  int32_t device_;
  AclStream stream_ = nullptr;
  AclEvent begin_ = nullptr;
  AclEvent end_ = nullptr;
  Buffer workspace_;
  Graph* graph_ = nullptr;  // that is captured or updated
  mutable int64_t allocations_ = 0;
};

}  // namespace lotse::ascend
