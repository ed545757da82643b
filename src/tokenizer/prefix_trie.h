// A set of byte strings searched by prefix: which of them begin at a place in text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

// Children stand in one flat hash table of 8-byte slots: 24 bits of node, 8 of the byte, 24 of the
// child. Read-only and thread-safe once filled.
class PrefixTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = 0;  // as a child: no node has the root as child
  static constexpr int64_t kMaxNodes = int64_t{1} << 24;

  PrefixTrie();

  // Gives `key` a value ≥ 0; a key that stands twice keeps the later one. `place` begins the error
  // when the keys are more than kMaxNodes bytes.
  Result<void> insert(std::string_view key, int32_t value, std::string_view place);

  uint32_t child(uint32_t node, uint8_t byte) const {
    const uint64_t key = (uint64_t{node} << 8) | byte;
    for (size_t i = home(key);; i = (i + 1) & mask_) {
      const uint64_t slot = slots_[i];
      if (slot == 0) return kNone;
      if (slot >> 24 == key) return static_cast<uint32_t>(slot & 0xffffff);
    }
  }
  // The node reached by `bytes`, or kNone.
  uint32_t descend(uint32_t node, std::string_view bytes) const;
  // The value of the key that ends at a node; −1 when none does.
  int32_t value(uint32_t node) const { return values_[node]; }

 private:
  size_t home(uint64_t key) const { return static_cast<size_t>((key * multiplier_) >> shift_); }
  void put(uint64_t slot);
  void grow();

  uint64_t multiplier_;
  int shift_;
  size_t mask_;
  std::vector<uint64_t> slots_;  // 0 is empty: the child of a slot is never 0
  std::vector<int32_t> values_;  // by node
};

}  // namespace lotse
