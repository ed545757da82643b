// The paged cache of one attention layer in the layout that the attention kernels read.
//
// A block holds, for each key-value head, its keys and then its values, f32, bf16 or int8, with
// head_dim padded to D = a multiple of 16:
//   keys    panels of up to 64 positions: f32 and int8 [D] [width], bf16 [D / 2] [width] [2],
//           where width is 64, or block_tokens rounded up to 16 when blocks are smaller
//   values  [block_tokens] [D]
//   scales  int8 only: fp32 of each key, then of each value, both for block_tokens rounded up to
//           whole panels
// Keys are stored transposed so that 64 scores are computed side by side.
#pragma once

#include "device/cpu/huge_buffer.h"
#include "device/cpu/kernels.h"
#include "device/device.h"

namespace lotse::cpu {

class KvCache {
 public:
  static Result<KvCache> allocate(const CacheLayer& layer, const ExecutionLimits& limits);

  // Stores head `head` of one position, head_dim floats each.
  void write(const KernelTable& kernels, int64_t block, int64_t offset, int64_t head,
             const float* key, const float* value) const;

  // The cache fields of an attention call on one key-value head.
  void describe(int64_t head, AttentionArgs& args) const;

  int64_t size() const { return storage_.size(); }
  int64_t block_tokens() const { return block_tokens_; }

 private:
  void write_int8(const KernelTable& kernels, std::byte* base, int64_t offset, const float* key,
                  const float* value) const;

  HugeBuffer storage_;
  int64_t head_dim_ = 0;
  int64_t depth_ = 0;  // head_dim padded
  int64_t block_tokens_ = 0;
  int64_t width_ = 0;   // of a key panel
  int64_t padded_ = 0;  // block_tokens in whole panels
  int64_t element_ = 0;
  int64_t value_offset_ = 0;
  int64_t scale_offset_ = 0;  // int8 only
  int64_t head_bytes_ = 0;
  int64_t block_bytes_ = 0;
};

}  // namespace lotse::cpu
