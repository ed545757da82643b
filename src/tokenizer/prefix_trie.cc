#include "tokenizer/prefix_trie.h"

#include <bit>

#include "tokenizer/vocabulary.h"

namespace lotse {

PrefixTrie::PrefixTrie() : multiplier_(hash_seed() | 1), slots_(64), values_(1, -1) {
  shift_ = 64 - std::countr_zero(slots_.size());
  mask_ = slots_.size() - 1;
}

Result<void> PrefixTrie::insert(std::string_view key, int32_t value, std::string_view place) {
  uint32_t node = kRoot;
  for (const char c : key) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t next = child(node, byte);
    if (next == kNone) {
      if (static_cast<int64_t>(values_.size()) >= kMaxNodes) {
        return fail(ErrorCode::limit, "{}: more than {} bytes of tokens", place, kMaxNodes);
      }
      if (2 * values_.size() > slots_.size()) grow();
      next = static_cast<uint32_t>(values_.size());
      values_.push_back(-1);
      put((((uint64_t{node} << 8) | byte) << 24) | next);
    }
    node = next;
  }
  values_[node] = value;
  return {};
}

uint32_t PrefixTrie::descend(uint32_t node, std::string_view bytes) const {
  for (const char c : bytes) {
    node = child(node, static_cast<uint8_t>(c));
    if (node == kNone) break;
  }
  return node;
}

void PrefixTrie::put(uint64_t slot) {
  size_t i = home(slot >> 24);
  while (slots_[i] != 0) i = (i + 1) & mask_;
  slots_[i] = slot;
}

void PrefixTrie::grow() {
  std::vector<uint64_t> old(slots_.size() * 2);
  old.swap(slots_);
  --shift_;
  mask_ = slots_.size() - 1;
  for (const uint64_t slot : old) {
    if (slot != 0) put(slot);
  }
}

}  // namespace lotse
