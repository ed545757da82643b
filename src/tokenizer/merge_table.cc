#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>

#include "base/result.h"
#include "tokenizer/vocabulary.h"

namespace lotse {

MergeTable::MergeTable(int64_t expected) : multiplier_(hash_seed() | 1) {
  LOTSE_CHECK(expected <= kMaxMerges);
  const auto count = static_cast<size_t>(expected);
  const size_t slots = std::bit_ceil(std::max<size_t>(16, count + count / 2));
  shift_ = 64 - std::countr_zero(slots);
  mask_ = slots - 1;
  slots_.assign(slots, kEmpty);
  merged_.reserve(count);
}

void MergeTable::add_rank(int32_t merged) {
  LOTSE_CHECK(ranks() < kMaxMerges);
  merged_.push_back(merged);
}

void MergeTable::add_pair(int32_t left, int32_t right) {
  const uint64_t key = key_of(left, right);
  size_t i = home(key);
  while (slots_[i] != kEmpty && slots_[i] >> kRankBits != key) i = (i + 1) & mask_;
  slots_[i] = (key << kRankBits) | (merged_.size() - 1);
}

}  // namespace lotse
