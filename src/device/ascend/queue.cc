#include "device/ascend/queue.h"

#include <functional>
#include <numeric>

namespace lotse::ascend {
namespace {

std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

}  // namespace

int64_t bytes_of(AclType type, int64_t elements) {
  switch (type) {
    case AclType::i4:
      return elements / 2;
    case AclType::i8:
    case AclType::u8:
    case AclType::boolean:
      return elements;
    case AclType::f16:
    case AclType::bf16:
      return 2 * elements;
    case AclType::f32:
    case AclType::i32:
      return 4 * elements;
    case AclType::i64:
      return 8 * elements;
  }
  return 0;
}

View View::dense(void* data, AclType type, std::vector<int64_t> shape) {
  std::vector<int64_t> strides = dense_strides(shape);
  View view;
  view.data = static_cast<std::byte*>(data);
  view.type = type;
  view.shape = std::move(shape);
  view.strides = std::move(strides);
  return view;
}

View View::as(std::vector<int64_t> new_shape, std::vector<int64_t> new_strides,
              int64_t more_offset) const {
  View view = *this;
  view.shape = std::move(new_shape);
  view.strides = std::move(new_strides);
  view.offset += more_offset;
  return view;
}

View View::rows(int64_t first, int64_t count) const {
  View part = *this;
  part.shape[0] = count;
  part.offset += first * strides[0];
  return part;
}

int64_t View::elements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Result<std::unique_ptr<Queue>> Queue::open(const Library& library, int32_t device) {
  uint32_t count = 0;
  LOTSE_TRY(check(library, "aclrtGetDeviceCount", library.device_count(&count)));
  if (device < 0 || device >= static_cast<int64_t>(count)) {
    return fail(ErrorCode::not_found, "ascend:{}: there {} {} device{}, counted from 0", device,
                count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
  }
  std::unique_ptr<Queue> queue(new Queue(library, device));
  LOTSE_TRY(queue->enter());
  LOTSE_TRY(check(library, "aclrtCreateStream", library.create_stream(&queue->stream_)));
  LOTSE_TRY(check(library, "aclrtCreateEvent", library.create_event(&queue->begin_)));
  LOTSE_TRY(check(library, "aclrtCreateEvent", library.create_event(&queue->end_)));
  return queue;
}

Queue::~Queue() {
  if (!enter()) return;
  if (stream_ != nullptr) library_.synchronise(stream_);
  workspace_ = Buffer();
  for (AclEvent event : {begin_, end_}) {
    if (event != nullptr) library_.destroy_event(event);
  }
  if (stream_ != nullptr) library_.destroy_stream(stream_);
}

Result<void> Queue::enter() const {
  return check(library_, "aclrtSetDevice", library_.set_device(device_));
}

Result<Buffer> Queue::allocate(int64_t bytes, const char* what) const {
  if (bytes == 0) return Buffer();
  ++allocations_;
  void* data = nullptr;
  const AclStatus status = library_.allocate(&data, static_cast<size_t>(bytes), kHugePagesFirst);
  if (status == 0) return Buffer(library_, static_cast<std::byte*>(data), bytes);
  size_t free = 0;
  size_t total = 0;
  library_.memory_info(kDeviceMemory, &free, &total);
  return fail(
      ErrorCode::limit,
      "ascend:{}: no room for {} bytes of {}: {} of {} bytes are free; a smaller --context, "
      "or `lotse port` to a smaller format, needs less (code {})",
      device_, bytes, what, free, total, status);
}

Result<Buffer> Queue::upload(std::span<const std::byte> bytes, const char* what) const {
  Buffer buffer = LOTSE_TRY(allocate(static_cast<int64_t>(bytes.size()), what));
  if (bytes.empty()) return buffer;
  LOTSE_TRY(check(library_, "aclrtMemcpy",
                  library_.copy(buffer.data(), bytes.size(), bytes.data(), bytes.size(),
                                AclCopy::host_to_device)));
  return buffer;
}

Result<void> Queue::download(const void* from, std::span<std::byte> to) const {
  LOTSE_TRY(synchronise());
  return check(library_, "aclrtMemcpy",
               library_.copy(to.data(), to.size(), from, to.size(), AclCopy::device_to_host));
}

Result<void> Queue::copy_in(void* to, std::span<const std::byte> from) const {
  return check(library_, "aclrtMemcpyAsync",
               library_.copy_async(to, from.size(), from.data(), from.size(),
                                   AclCopy::host_to_device, stream_));
}

Result<void> Queue::synchronise() const {
  return check(library_, "aclrtSynchronizeStream", library_.synchronise(stream_));
}

Handle<AclTensor> Queue::tensor(const View& view) const {
  // The storage is everything up to the last element that the view reaches.
  int64_t extent = view.offset + 1;
  for (size_t i = 0; i < view.shape.size(); ++i) extent += (view.shape[i] - 1) * view.strides[i];
  const std::span<const int64_t> storage =
      view.storage.empty() ? std::span<const int64_t>(&extent, 1) : view.storage;
  return Handle<AclTensor>(
      library_.create_tensor(view.shape.data(), view.shape.size(), view.type, view.strides.data(),
                             view.offset, view.format, storage.data(), storage.size(), view.data),
      library_.destroy_tensor);
}

Handle<AclScalar> Queue::scalar(float value) const {
  return Handle<AclScalar>(library_.create_scalar(&value, AclType::f32), library_.destroy_scalar);
}

Handle<AclIntArray> Queue::ints(std::span<const int64_t> values) const {
  return Handle<AclIntArray>(library_.create_ints(values.data(), values.size()),
                             library_.destroy_ints);
}

Handle<AclTensorList> Queue::list(const View& view) const {
  // The list owns its tensors.
  Handle<AclTensor> one = tensor(view);
  const AclTensor* raw = one.release();
  return Handle<AclTensorList>(library_.create_list(&raw, 1), library_.destroy_list);
}

Result<void> Queue::reserve_workspace(int64_t bytes) {
  if (bytes <= workspace_.size()) return {};
  LOTSE_TRY(synchronise());
  workspace_ = Buffer();
  workspace_ = LOTSE_TRY(allocate(bytes, "operators' workspace"));
  return {};
}

Result<std::unique_ptr<Graph>> Queue::capture(const std::function<Result<void>()>& step) {
  auto graph = LOTSE_TRY(Graph::begin(library_, stream_));
  graph_ = graph.get();
  const Result<void> done = step();
  graph_ = nullptr;
  LOTSE_TRY(done);
  LOTSE_TRY(graph->end());
  return graph;
}

Result<void> Queue::update(Graph& graph, const std::function<Result<void>()>& operators) {
  graph.begin_update();
  graph_ = &graph;
  const Result<void> done = operators();
  graph_ = nullptr;
  if (done) graph.end_update();
  return done;
}

Result<void> Queue::start_timer() {
  return check(library_, "aclrtRecordEvent", library_.record_event(begin_, stream_));
}

Result<double> Queue::stop_timer() {
  LOTSE_TRY(check(library_, "aclrtRecordEvent", library_.record_event(end_, stream_)));
  LOTSE_TRY(synchronise());
  float milliseconds = 0;
  LOTSE_TRY(
      check(library_, "aclrtEventElapsedTime", library_.elapsed(&milliseconds, begin_, end_)));
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace lotse::ascend
