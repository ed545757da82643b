// The bytes of every token of a tokenizer, as tries that a grammar walks to find the tokens that
// may come next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lotse {

// Nodes in depth-first order. The tokens of a node are those whose bytes lead there.
struct TokenTrie {
  std::vector<uint8_t> byte;
  std::vector<uint16_t> depth;        // 1 for a first byte
  std::vector<int32_t> subtree_end;   // one past the last node below
  std::vector<int32_t> tokens_begin;  // into `tokens`, with one element more than nodes
  std::vector<int32_t> tokens;

  int32_t size() const { return static_cast<int32_t>(byte.size()); }
  std::span<const int32_t> tokens_of(int32_t node) const {
    const auto n = static_cast<size_t>(node);
    return std::span(tokens).subspan(static_cast<size_t>(tokens_begin[n]),
                                     static_cast<size_t>(tokens_begin[n + 1] - tokens_begin[n]));
  }
};

// Immutable and thread-safe. Built once a tokenizer.
class TokenTable {
 public:
  // Special tokens and markers stand in no trie: no grammar allows them.
  static std::shared_ptr<const TokenTable> create(const Tokenizer& tokenizer);
  // From the bytes of each token; an empty one is never allowed.
  static std::shared_ptr<const TokenTable> create(std::vector<std::string> bytes);

  int64_t vocab_size() const { return static_cast<int64_t>(bytes_.size()); }
  // Of 32-bit words that hold a bit a token.
  size_t mask_words() const { return (bytes_.size() + 31) / 32; }
  std::string_view bytes(int32_t token) const;

  // "Plain" tokens consist of whole characters that stand in a JSON string as they are; they are
  // most of a vocabulary. The others come second.
  const TokenTrie& trie(bool plain) const { return plain ? plain_trie_ : other_trie_; }
  // The mask of all plain tokens of at most `characters`; what is cheap to say of a text of which
  // any character may come.
  std::span<const uint32_t> plain_mask(int64_t characters) const;
  int64_t longest_plain() const { return static_cast<int64_t>(plain_masks_.size()) - 1; }

 private:
  std::vector<std::string> bytes_;
  TokenTrie plain_trie_;
  TokenTrie other_trie_;
  std::vector<std::vector<uint32_t>> plain_masks_;  // by the number of characters, capped
};

}  // namespace lotse
