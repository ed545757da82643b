#include "engine/block_cache.h"

#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "base/result.h"

namespace lotse {

PrefixHash hash_block(const PrefixHash& before, std::span<const int32_t> tokens) {
  Sha256 hash;
  hash.update(before);
  hash.update(std::as_bytes(tokens));
  return hash.digest();
}

PrefixHash hash_salt(std::string_view salt) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(salt)));
  return hash.digest();
}

size_t BlockCache::HashOfPrefix::operator()(const PrefixHash& prefix) const {
  size_t value = 0;
  std::memcpy(&value, prefix.data(), sizeof value);
  return value;
}

BlockCache::BlockCache(int64_t blocks, bool keeps_prefixes)
    : blocks_(static_cast<size_t>(blocks)),
      unused_(static_cast<size_t>(blocks)),
      keeps_prefixes_(keeps_prefixes) {
  std::iota(unused_.rbegin(), unused_.rend(), 0);
}

std::optional<int32_t> BlockCache::find(const PrefixHash& prefix) {
  const auto found = by_prefix_.find(prefix);
  if (found == by_prefix_.end()) return std::nullopt;
  Block& block = at(found->second);
  if (block.references++ == 0) cached_.erase(block.place);
  return found->second;
}

std::optional<int32_t> BlockCache::allocate() {
  int32_t block = -1;
  if (!unused_.empty()) {
    block = unused_.back();
    unused_.pop_back();
  } else if (!cached_.empty()) {
    block = cached_.front();
    cached_.pop_front();
    drop_prefix(block);
  } else {
    return std::nullopt;
  }
  at(block).references = 1;
  return block;
}

void BlockCache::publish(int32_t block, const PrefixHash& prefix) {
  LOTSE_CHECK(at(block).references > 0);
  if (!keeps_prefixes_ || at(block).prefix) return;
  if (by_prefix_.emplace(prefix, block).second) at(block).prefix = prefix;
}

void BlockCache::release(int32_t block) {
  LOTSE_CHECK(at(block).references > 0);
  if (--at(block).references > 0) return;
  if (at(block).prefix) {
    at(block).place = cached_.insert(cached_.end(), block);
  } else {
    unused_.push_back(block);
  }
}

void BlockCache::forget() {
  for (Block& block : blocks_) block.prefix.reset();
  by_prefix_.clear();
  unused_.insert(unused_.end(), cached_.begin(), cached_.end());
  cached_.clear();
}

void BlockCache::drop_prefix(int32_t block) {
  by_prefix_.erase(*at(block).prefix);
  at(block).prefix.reset();
}

}  // namespace lotse
