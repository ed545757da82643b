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
  static constexpr uint32_t kNone = UINT32_MAX;

  // `expected` ≤ kMaxMerges sizes the table.
  explicit MergeTable(int64_t expected);

  // Adds the merge of the next rank; a pair that stands twice keeps the later rank. At most
  // `expected` calls; ids at most kMaxTokenId.
  void add(int32_t left, int32_t right, int32_t merged);
  // Gives the next rank to nothing.
  void skip() { merged_.push_back(-1); }

  uint32_t rank(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = home(key);; i = (i + 1) & mask_) {
      const uint64_t slot = slots_[i];
      if (slot >> kRankBits == key) return static_cast<uint32_t>(slot & kRankMask);
      if (slot == kEmpty) return kNone;
    }
  }
  int32_t merged(uint32_t rank) const { return merged_[rank]; }
  int64_t size() const { return static_cast<int64_t>(merged_.size()); }

 private:
  static constexpr int kIdBits = 21;
  static constexpr int kRankBits = 22;
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
  std::vector<int32_t> merged_;
};

}  // namespace lotse
