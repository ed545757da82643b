// This device's place among those of a group: collectives over HCCL.
#pragma once

#include <memory>

#include "device/ascend/queue.h"
#include "device/collective/group.h"

namespace lotse::ascend {

// Runs on its queue, in the queue's order. Not thread-safe.
class Communicator {
 public:
  // Meets the other ranks; returns when all are there. Errors: not_found or unsupported when the
  // collective library is absent or lacks a function; io when the ranks do not meet.
  static Result<std::unique_ptr<Communicator>> join(const Queue& queue, Group& group);
  virtual ~Communicator() = default;

  virtual int32_t size() const = 0;
  // In place, over dense values. FP16 and BF16 sums are rounded once.
  virtual Result<void> all_reduce(const View& values) = 0;
  // `all` holds what each rank gave, in their order.
  virtual Result<void> all_gather(const View& mine, const View& all) = 0;
};

}  // namespace lotse::ascend
