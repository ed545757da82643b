// Attention of a ragged batch over the paged cache.
#pragma once

#include "base/thread_pool.h"
#include "device/cpu/kv_cache.h"
#include "device/device.h"

namespace lotse::cpu {

// Working memory of one thread for heads of up to `head_dim` dimensions, in floats.
int64_t attention_scratch(int64_t head_dim);

// Writes the step's keys and values to the cache, then attends. `qkv` and `out` are the operator's
// values; `scratch` holds attention_scratch floats for each thread of the pool.
void run_attention(const KernelTable& kernels, ThreadPool& pool, const Attention& op,
                   const KvCache& cache, const Batch& batch, const float* qkv, float* out,
                   float* scratch);

}  // namespace lotse::cpu
