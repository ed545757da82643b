#include "device/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace lotse::cpu {

namespace {
constexpr int64_t kMaxHeadDim = 1024;
}

Result<KvCache> KvCache::allocate(const CacheLayer& layer, const ExecutionLimits& limits) {
  if (layer.head_dim > kMaxHeadDim) {
    return fail(ErrorCode::unsupported, "heads of {} dimensions; the cpu device takes up to {}",
                layer.head_dim, kMaxHeadDim);
  }
  KvCache cache;
  cache.head_dim_ = layer.head_dim;
  cache.depth_ = round_up(layer.head_dim, 16);
  cache.block_tokens_ = limits.block_tokens;
  cache.width_ = std::min(round_up(limits.block_tokens, 16), kKeyBlock);
  cache.element_ = limits.cache_type == DType::bf16 ? 2 : 4;
  cache.value_offset_ = round_up(limits.block_tokens, cache.width_) * cache.depth_ * cache.element_;
  cache.head_bytes_ =
      round_up(cache.value_offset_ + limits.block_tokens * cache.depth_ * cache.element_, 64);
  cache.block_bytes_ = layer.kv_heads * cache.head_bytes_;
  const auto bytes = checked_mul(cache.block_bytes_, limits.cache_blocks);
  if (!bytes) {
    return fail(ErrorCode::limit, "a cache of {} blocks of {} bytes is too large",
                limits.cache_blocks, cache.block_bytes_);
  }
  cache.storage_ = LOTSE_TRY(HugeBuffer::allocate(*bytes, "the key-value cache"));
  return cache;
}

void KvCache::write(const KernelTable& kernels, int64_t block, int64_t offset, int64_t head,
                    const float* key, const float* value) const {
  std::byte* base = storage_.data() + block * block_bytes_ + head * head_bytes_;
  std::byte* panel = base + offset / width_ * width_ * depth_ * element_;
  const int64_t column = offset % width_;
  std::byte* values = base + value_offset_ + offset * depth_ * element_;
  if (element_ == 4) {
    auto* keys = reinterpret_cast<float*>(panel);
    for (int64_t d = 0; d < head_dim_; ++d) keys[d * width_ + column] = key[d];
    std::memcpy(values, value, static_cast<size_t>(head_dim_) * sizeof(float));
    return;
  }
  uint16_t narrow[kMaxHeadDim];
  kernels.f32_to_bf16(key, head_dim_, narrow);
  auto* keys = reinterpret_cast<uint16_t*>(panel);
  for (int64_t d = 0; d < head_dim_; ++d) {
    keys[(d / 2 * width_ + column) * 2 + d % 2] = narrow[d];
  }
  kernels.f32_to_bf16(value, head_dim_, reinterpret_cast<uint16_t*>(values));
}

void KvCache::describe(int64_t head, AttentionArgs& args) const {
  args.head_dim = head_dim_;
  args.cache = storage_.data() + head * head_bytes_;
  args.block_stride = block_bytes_;
  args.value_offset = value_offset_;
  args.block_tokens = block_tokens_;
  args.narrow = element_ == 2;
}

}  // namespace lotse::cpu
