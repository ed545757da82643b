// The blocks of the key-value cache: who holds which.
#pragma once

#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

namespace lotse {

// Hands out block ids below a fixed count. Not thread-safe.
class BlockPool {
 public:
  explicit BlockPool(int64_t blocks) : free_(static_cast<size_t>(blocks)) {
    std::iota(free_.rbegin(), free_.rend(), 0);
  }

  // The lowest id never used before, or the one released last; nothing when all are held.
  std::optional<int32_t> allocate() {
    if (free_.empty()) return std::nullopt;
    const int32_t block = free_.back();
    free_.pop_back();
    return block;
  }
  void release(int32_t block) { free_.push_back(block); }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }

 private:
  std::vector<int32_t> free_;
};

}  // namespace lotse
