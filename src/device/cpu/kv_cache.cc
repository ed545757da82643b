#include "device/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace lotse::cpu {

namespace {

constexpr int64_t kMaxHeadDim = 1024;

int64_t element_bytes(DType type) {
  if (type == DType::i8) return 1;
  return type == DType::bf16 ? 2 : 4;
}

// Quantises one head's key or value as KernelTable::quantise_row does; returns its scale.
float quantise_head(const KernelTable& kernels, const float* x, int64_t n, int64_t padded,
                    int8_t* q) {
  alignas(64) std::byte prepared[kMaxHeadDim * 2];
  int32_t sum = 0;
  const float scale = kernels.quantise_row(x, n, padded, padded, prepared, &sum);
  const auto take = [&]<class T>(const T* from) {
    for (int64_t d = 0; d < padded; ++d) q[d] = static_cast<int8_t>(from[d]);
  };
  if (kernels.int8_activation_bytes == 1) {
    take(reinterpret_cast<const int8_t*>(prepared));
  } else {
    take(reinterpret_cast<const int16_t*>(prepared));
  }
  return scale;
}

}  // namespace

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
  cache.padded_ = round_up(limits.block_tokens, cache.width_);
  cache.element_ = element_bytes(limits.cache_type);
  cache.value_offset_ = cache.padded_ * cache.depth_ * cache.element_;
  cache.scale_offset_ =
      round_up(cache.value_offset_ + limits.block_tokens * cache.depth_ * cache.element_, 64);
  const int64_t scales = cache.element_ == 1 ? 2 * cache.padded_ * int64_t{sizeof(float)} : 0;
  cache.head_bytes_ = round_up(cache.scale_offset_ + scales, 64);
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
  if (element_ == 1) return write_int8(kernels, base, offset, key, value);
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

void KvCache::write_int8(const KernelTable& kernels, std::byte* base, int64_t offset,
                         const float* key, const float* value) const {
  int8_t q[kMaxHeadDim];
  auto* scales = reinterpret_cast<float*>(base + scale_offset_);
  scales[offset] = quantise_head(kernels, key, head_dim_, depth_, q);
  auto* keys = reinterpret_cast<int8_t*>(base) + offset / width_ * width_ * depth_;
  const int64_t column = offset % width_;
  for (int64_t d = 0; d < depth_; ++d) keys[d * width_ + column] = q[d];
  auto* values = reinterpret_cast<int8_t*>(base) + value_offset_ + offset * depth_;
  scales[padded_ + offset] = quantise_head(kernels, value, head_dim_, depth_, values);
}

void KvCache::describe(int64_t head, AttentionArgs& args) const {
  args.head_dim = head_dim_;
  args.cache = storage_.data() + head * head_bytes_;
  args.block_stride = block_bytes_;
  args.value_offset = value_offset_;
  args.block_tokens = block_tokens_;
  args.element = element_;
  args.scale_offset = scale_offset_;
}

}  // namespace lotse::cpu
