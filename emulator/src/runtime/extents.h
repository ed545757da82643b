// A best-fit allocator of extents within [0, capacity). Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace lotse::emulator {

class Extents {
 public:
  explicit Extents(int64_t capacity) : free_bytes_(capacity) { free_[0] = capacity; }

  // The offset of an extent of `size` bytes, both multiples of `alignment` (a power of two).
  std::optional<int64_t> take(int64_t size, int64_t alignment) {
    auto best = free_.end();
    int64_t best_offset = 0;
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      const int64_t offset = (it->first + alignment - 1) & -alignment;
      const bool fits = offset + size <= it->first + it->second;
      if (fits && (best == free_.end() || it->second < best->second)) {
        best = it;
        best_offset = offset;
      }
    }
    if (best == free_.end()) return std::nullopt;
    const auto [begin, length] = *best;
    free_.erase(best);
    if (best_offset > begin) free_[begin] = best_offset - begin;
    const int64_t end = best_offset + size;
    if (end < begin + length) free_[end] = begin + length - end;
    free_bytes_ -= size;
    return best_offset;
  }

  void give_back(int64_t offset, int64_t size) {
    free_bytes_ += size;
    auto next = free_.lower_bound(offset);
    if (next != free_.end() && offset + size == next->first) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      auto previous = std::prev(next);
      if (previous->first + previous->second == offset) {
        previous->second += size;
        return;
      }
    }
    free_[offset] = size;
  }

  int64_t free_bytes() const { return free_bytes_; }

 private:
  std::map<int64_t, int64_t> free_;  // offset → length; neighbours are merged
  int64_t free_bytes_;
};

}  // namespace lotse::emulator
