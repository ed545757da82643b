// Attention over the paged cache: the fused operator where it can, composed in fp32 where not.
#pragma once

#include "device/ascend/moved_heads.h"
#include "device/device.h"
#include "device/program.h"

namespace lotse::ascend {

// Keys and values of one layer: each [slots, kv_heads · head_dim], slot = block · block_tokens +
// position in the block.
struct KvCache {
  AclType type = AclType::bf16;
  int64_t slots = 0;
  Buffer keys;
  Buffer values;

  static Result<KvCache> allocate(const Queue& queue, const CacheLayer& layer,
                                  const ExecutionLimits& limits, AclType type);
};

// What attention needs of a step, on the device.
struct StepInputs {
  View slots;        // i64 [tokens]: where each token's key and value go
  View all_slots;    // i64: for every sequence, the slots of positions 0 … context − 1, one after
                     // another in the order of the batch; empty where no layer is composed
  View blocks;       // i32 [sequences, blocks_each]
  View causal_mask;  // u8 [2048, 2048], 1 above the diagonal: the fused operator's compressed mask
};

// By the fused operator when `is_fused`, which takes queries and keys from where they moved; its
// types must then be those of the cache. While the queue updates a graph, only what the graph's
// next replay needs of it.
Result<void> run_attention(Context& context, const Attention& op, const KvCache& cache,
                           const Batch& batch, const StepInputs& inputs,
                           const ExecutionLimits& limits, bool is_fused, const View& qkv,
                           const MovedHeads& moved, const View& out);

}  // namespace lotse::ascend
