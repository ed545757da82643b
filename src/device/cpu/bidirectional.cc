#include "device/cpu/bidirectional.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "base/checked.h"
#include "device/cpu/attention.h"
#include "device/cpu/parallel.h"

namespace lotse::cpu {
namespace {

// Rows of one head, from or to a value where other heads lie between.
struct HeadRows {
  int64_t rows;
  int64_t head_dim;
  int64_t stride;  // floats from one row of the value to the next

  void gather(const float* value, float* dense) const {
    for (int64_t r = 0; r < rows; ++r) copy(value + r * stride, dense + r * head_dim);
  }
  void scatter(const float* dense, float* value) const {
    for (int64_t r = 0; r < rows; ++r) copy(dense + r * head_dim, value + r * stride);
  }

 private:
  void copy(const float* from, float* to) const {
    std::memcpy(to, from, static_cast<size_t>(head_dim) * sizeof(float));
  }
};

}  // namespace

int64_t bidirectional_scratch(int64_t head_dim) {
  return attention_scratch(head_dim) + 2 * kAttentionRows * round_up(head_dim, 16);
}

Result<StepKeys> StepKeys::allocate(int64_t heads, int64_t head_dim,
                                    const ExecutionLimits& limits) {
  StepKeys keys;
  keys.heads_ = heads;
  keys.head_dim_ = head_dim;
  ExecutionLimits of_step = limits;
  of_step.cache_type = DType::f32;
  // Each sequence begins a block of its own.
  of_step.cache_blocks = ceil_div(limits.max_tokens, limits.block_tokens) + limits.max_sequences;
  keys.cache_ = LOTSE_TRY(KvCache::allocate({heads, head_dim, 0}, of_step));
  keys.blocks_.resize(static_cast<size_t>(of_step.cache_blocks));
  std::iota(keys.blocks_.begin(), keys.blocks_.end(), 0);
  keys.first_block_.reserve(static_cast<size_t>(limits.max_sequences));
  return keys;
}

void StepKeys::run(const KernelTable& kernels, ThreadPool& pool, const BidirectionalAttention& op,
                   const Batch& batch, const float* qkv, float* out, float* scratch) {
  const int64_t width = op.heads * op.head_dim;
  const int64_t block_tokens = cache_.block_tokens();
  first_block_.clear();
  int64_t block = 0;
  int64_t total = 0;
  const auto calls = [&](const BatchSequence& sequence) {
    return op.heads * ceil_div(sequence.tokens, kAttentionRows);
  };
  for (const BatchSequence& sequence : batch.sequences) {
    LOTSE_CHECK(sequence.tokens == sequence.context);
    const int64_t first = block;
    over_rows(pool, sequence.tokens, 3 * width, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const float* key = qkv + (sequence.first_token + token) * 3 * width + width;
        for (int64_t head = 0; head < op.heads; ++head, key += op.head_dim) {
          cache_.write(kernels, first + token / block_tokens, token % block_tokens, head, key,
                       key + width);
        }
      }
    });
    first_block_.push_back(first);
    block += ceil_div(sequence.tokens, block_tokens);
    total += calls(sequence);
  }
  const auto attend = [&](size_t s, int64_t call, float* own) {
    const BatchSequence& sequence = batch.sequences[s];
    const int64_t head = call % op.heads;
    const int64_t token = call / op.heads * kAttentionRows;
    const int64_t row = sequence.first_token + token;
    const int64_t rows = std::min(kAttentionRows, sequence.tokens - token);
    float* query = own + attention_scratch(op.head_dim);
    float* result = query + kAttentionRows * round_up(op.head_dim, 16);
    HeadRows{rows, op.head_dim, 3 * width}.gather(qkv + row * 3 * width + head * op.head_dim,
                                                  query);
    AttentionArgs args = {};
    args.query = query;
    args.out = result;
    // As if they were the heads of the sequence's last token, which sees all of it.
    args.rows = args.group = rows;
    args.first_position = sequence.tokens - 1;
    args.scale = op.scale;
    args.blocks = blocks_.data() + first_block_[s];
    args.scratch = own;
    cache_.describe(head, args);
    kernels.attention(args);
    HeadRows{rows, op.head_dim, width}.scatter(result, out + row * width + head * op.head_dim);
  };
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread) {
    float* own = scratch + thread * bidirectional_scratch(op.head_dim);
    for (int64_t i = next.fetch_add(1); i < total; i = next.fetch_add(1)) {
      int64_t call = i;
      size_t s = 0;
      while (call >= calls(batch.sequences[s])) call -= calls(batch.sequences[s++]);
      attend(s, call, own);
    }
  });
}

}  // namespace lotse::cpu
