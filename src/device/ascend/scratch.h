// Working memory of operators: named slots that grow to what the largest step needs.
#pragma once

#include <array>

#include "device/ascend/queue.h"

namespace lotse::ascend {

enum class Slot : uint8_t {
  cast_in,
  cast_out,
  quantised,
  token_scales,
  sums,
  norm,
  rotated,
  query,
  normed_queries,
  normed_keys,
  rotated_keys,
  keys,
  values,
  gathered,
  scores,
  probabilities,
  mask,
  attended,
  router,
  routed,
  expert_hidden,
  expert_out,
  exact_rows,
  exact_largest,
  exact_index,
  exact_most,
  exact_inverse,
  count,
};

// Operators of one queue run in order, so each may use every slot.
class Scratch {
 public:
  explicit Scratch(Queue& queue) : queue_(queue) {}

  // A dense view of at least that size, of undefined content. Growing waits for the queue.
  Result<View> view(Slot slot, AclType type, std::vector<int64_t> shape) {
    View wanted = View::dense(nullptr, type, std::move(shape));
    const int64_t bytes = bytes_of(type, wanted.elements());
    Buffer& buffer = buffers_[static_cast<size_t>(slot)];
    if (buffer.size() < bytes) {
      LOTSE_TRY(queue_.synchronise());
      buffer = Buffer();
      buffer = LOTSE_TRY(queue_.allocate(bytes, "working memory"));
    }
    wanted.data = buffer.data();
    return wanted;
  }

  int64_t bytes() const {
    int64_t total = 0;
    for (const Buffer& buffer : buffers_) total += buffer.size();
    return total;
  }

 private:
  Queue& queue_;
  std::array<Buffer, static_cast<size_t>(Slot::count)> buffers_;
};

}  // namespace lotse::ascend
