#include "device/cpu/attention.h"

#include <algorithm>
#include <atomic>

#include "base/checked.h"
#include "device/cpu/parallel.h"

namespace lotse::cpu {
namespace {

struct Layer {
  const KernelTable& kernels;
  const Attention& op;
  const KvCache& cache;
  const float* qkv;
  float* out;
  int64_t qkv_columns = (op.heads + 2 * op.kv_heads) * op.head_dim;
  int64_t out_columns = op.heads * op.head_dim;
  int64_t group = op.heads / op.kv_heads;
  // Query heads and tokens of one call; a call's rows are tokens × heads.
  int64_t call_heads = std::min(group, kAttentionRows);
  int64_t call_tokens = kAttentionRows / call_heads;
  int64_t head_calls = ceil_div(group, call_heads);

  // Calls that one sequence needs.
  int64_t calls(const BatchSequence& sequence) const {
    return op.kv_heads * head_calls * ceil_div(sequence.tokens, call_tokens);
  }

  void write(const BatchSequence& sequence, int64_t token) const {
    const int64_t position = sequence.context - sequence.tokens + token;
    const int64_t block = sequence.blocks[static_cast<size_t>(position / cache.block_tokens())];
    const float* row = qkv + (sequence.first_token + token) * qkv_columns + out_columns;
    for (int64_t head = 0; head < op.kv_heads; ++head) {
      const float* key = row + head * op.head_dim;
      cache.write(kernels, block, position % cache.block_tokens(), head, key,
                  key + op.kv_heads * op.head_dim);
    }
  }

  void attend(const BatchSequence& sequence, int64_t call, float* scratch) const {
    const int64_t part = call % head_calls;
    const int64_t kv_head = call / head_calls % op.kv_heads;
    const int64_t token = call / head_calls / op.kv_heads * call_tokens;
    const int64_t first_head = kv_head * group + part * call_heads;
    const int64_t heads = std::min(call_heads, group - part * call_heads);
    const int64_t tokens = std::min(call_tokens, sequence.tokens - token);
    const int64_t row = sequence.first_token + token;
    AttentionArgs args = {};
    args.query = qkv + row * qkv_columns + first_head * op.head_dim;
    args.out = out + row * out_columns + first_head * op.head_dim;
    args.query_stride = qkv_columns;
    args.out_stride = out_columns;
    args.rows = tokens * heads;
    args.group = heads;
    args.first_position = sequence.context - sequence.tokens + token;
    args.window = op.window;
    args.scale = op.scale;
    args.softcap = op.softcap;
    args.blocks = sequence.blocks.data();
    args.scratch = scratch;
    cache.describe(kv_head, args);
    kernels.attention(args);
  }
};

}  // namespace

int64_t attention_scratch(int64_t head_dim) {
  return round_up(kAttentionRows * (2 * round_up(head_dim, 16) + kKeyBlock + 3), 16);
}

void run_attention(const KernelTable& kernels, ThreadPool& pool, const Attention& op,
                   const KvCache& cache, const Batch& batch, const float* qkv, float* out,
                   float* scratch) {
  const Layer layer{kernels, op, cache, qkv, out};
  int64_t total = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    over_rows(pool, sequence.tokens, layer.qkv_columns, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) layer.write(sequence, token);
    });
    total += layer.calls(sequence);
  }
  // Calls differ in cost with their context, so threads take them one by one; which thread takes
  // which changes nothing in the result.
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread) {
    float* own = scratch + thread * attention_scratch(op.head_dim);
    for (int64_t i = next.fetch_add(1); i < total; i = next.fetch_add(1)) {
      int64_t call = i;
      size_t s = 0;
      while (call >= layer.calls(batch.sequences[s])) call -= layer.calls(batch.sequences[s++]);
      layer.attend(batch.sequences[s], call, own);
    }
  });
}

}  // namespace lotse::cpu
