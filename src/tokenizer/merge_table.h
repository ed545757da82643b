// The merges of a byte-pair encoding: (left id, right id) → rank and merged id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lotse {

inline constexpr int64_t kMaxMerges = (int64_t{1} << 22) - 1;

// A flat hash table of 8-byte slots (21 + 21 bits of ids, 22 bits of rank), so that a vocabulary of
// 150,000 takes 4 MiB and a look-up touches one cache line. Read-only and thread-safe once filled.
class MergeTable {
 public:
  static constexpr int32_t kNone = INT32_MAX;

  // `expected` ≤ kMaxMerges sizes the table.
  explicit MergeTable(int64_t expected);

  // Begins the next rank, whose pairs give `merged`. At most kMaxMerges ranks.
  void add_rank(int32_t merged);
  // Adds a pair to the last rank; a pair that stands twice keeps the later rank. At most `expected`
  // pairs; ids at most kMaxTokenId.
  void add_pair(int32_t left, int32_t right);
  // Lets the memory that add_pair() needs come to the cache.
  void expect_pair(int32_t left, int32_t right) const {
    __builtin_prefetch(&slots_[home(key_of(left, right))]);
  }

  int32_t rank(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = home(key);; i = (i + 1) & mask_) {
      const uint64_t slot = slots_[i];
      if (slot >> kRankBits == key) return static_cast<int32_t>(slot & kRankMask);
      if (slot == kEmpty) return kNone;
    }
  }
  int32_t merged(int32_t rank) const { return merged_[static_cast<size_t>(rank)]; }
  // Calls visit(left, right, rank) for every pair, in no particular order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const uint64_t slot : slots_) {
      if (slot == kEmpty) continue;
      visit(static_cast<int32_t>(slot >> (kIdBits + kRankBits)),
            static_cast<int32_t>((slot >> kRankBits) & kIdMask),
            static_cast<int32_t>(slot & kRankMask));
    }
  }
  int64_t ranks() const { return static_cast<int64_t>(merged_.size()); }

 private:
  static constexpr int kIdBits = 21;
  static constexpr int kRankBits = 22;
  static constexpr uint64_t kIdMask = (uint64_t{1} << kIdBits) - 1;
  static constexpr uint64_t kRankMask = (uint64_t{1} << kRankBits) - 1;
  static constexpr uint64_t kEmpty = UINT64_MAX;

  static uint64_t key_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(left) << kIdBits) | static_cast<uint64_t>(right);
  }
  size_t home(uint64_t key) const { return static_cast<size_t>((key * multiplier_) >> shift_); }

  uint64_t multiplier_;
  int shift_;
  size_t mask_;
  std::vector<uint64_t> slots_;
  std::vector<int32_t> merged_;  // by rank
};

}  // namespace lotse
