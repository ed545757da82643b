// Bidirectional attention of whole sequences. Keys and values of a step are laid out as the cache
// of causal attention has them, so that the same kernels do the work.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/kv_cache.h"
#include "device/device.h"

namespace lotse::cpu {

// Room for the keys and values of one step, in fp32.
class StepKeys {
 public:
  static Result<StepKeys> allocate(int64_t heads, int64_t head_dim, const ExecutionLimits& limits);

  bool fits(const BidirectionalAttention& op) const {
    return op.heads == heads_ && op.head_dim == head_dim_;
  }
  int64_t size() const { return cache_.size(); }

  // Attends; `qkv` and `out` are the operator's values; `scratch` holds bidirectional_scratch
  // floats for each thread of the pool. Not thread-safe.
  void run(const KernelTable& kernels, ThreadPool& pool, const BidirectionalAttention& op,
           const Batch& batch, const float* qkv, float* out, float* scratch);

 private:
  int64_t heads_ = 0;
  int64_t head_dim_ = 0;
  KvCache cache_;
  std::vector<int32_t> blocks_;       // 0, 1, 2, …: sequences have them one after the other
  std::vector<int64_t> first_block_;  // of each sequence of the step
};

// Working memory of one thread for heads of `head_dim` dimensions, in floats.
int64_t bidirectional_scratch(int64_t head_dim);

}  // namespace lotse::cpu
