// The blocks of the key-value cache among many sequences: who holds which, and which of them hold a
// prefix that another sequence may share.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lotse {

// SHA-256 of everything from the beginning of a sequence to the end of a block, and of its salt: a
// prefix has one name, and nobody can make another with the same.
using PrefixHash = std::array<std::byte, 32>;

// The hash of a block of `tokens` that follows `before` (of the first block: the salt's own hash).
PrefixHash hash_block(const PrefixHash& before, std::span<const int32_t> tokens);
PrefixHash hash_salt(std::string_view salt);

// Blocks are numbered from 0. A block is held by as many sequences as references; one that nobody
// holds is unused, or cached: it keeps its prefix until it is needed for something else, the least
// recently released first. Not thread-safe.
class BlockCache {
 public:
  // Without `keeps_prefixes` nothing is ever found.
  BlockCache(int64_t blocks, bool keeps_prefixes);

  // The block of a prefix, with one more reference; nothing when it is not there.
  std::optional<int32_t> find(const PrefixHash& prefix);
  // A block with one reference; nothing when all are held.
  std::optional<int32_t> allocate();
  // Names what a held block contains, once all of its positions are computed. A prefix that
  // another block has already keeps that one.
  void publish(int32_t block, const PrefixHash& prefix);
  void release(int32_t block);
  // Forgets all prefixes, held ones too: their contents are no longer right.
  void forget();

  int64_t total() const { return static_cast<int64_t>(blocks_.size()); }
  // Unused and cached ones.
  int64_t available() const { return static_cast<int64_t>(unused_.size() + cached_.size()); }
  int64_t cached() const { return static_cast<int64_t>(cached_.size()); }

 private:
  struct HashOfPrefix {
    size_t operator()(const PrefixHash& prefix) const;
  };
  struct Block {
    int32_t references = 0;
    std::optional<PrefixHash> prefix;
    std::list<int32_t>::iterator place;  // in cached_, where it is there
  };

  Block& at(int32_t block) { return blocks_[static_cast<size_t>(block)]; }
  void drop_prefix(int32_t block);

  std::vector<Block> blocks_;
  std::vector<int32_t> unused_;
  std::list<int32_t> cached_;  // least recently released first
  std::unordered_map<PrefixHash, int32_t, HashOfPrefix> by_prefix_;
  bool keeps_prefixes_;
};

}  // namespace lotse
