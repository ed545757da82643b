// A shortcut of byte-level BPE for text in which characters have several bytes: characters whose
// bytes always become one token before anything else can touch them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace lotse {

// A character is solid if, merged alone, it becomes one token by merges of ranks up to T, while
// every merge that could involve one of its outer symbols on the way, or the token itself, with a
// neighbour has a rank above T. As merges go by ascending rank, the character is whole before any
// such merge, and starting from its token gives the same result as starting from its bytes. That
// holds between other characters only: merges with a left neighbour that ends in ASCII (a space,
// mostly) are left out of account, so a solid character counts only at the beginning of a word or
// after a byte 80–BF.
//
// Thread-safe; refers to the table.
class SolidChars {
 public:
  // `byte_ids`: the id of each byte, −1 where there is none.
  SolidChars(const Vocabulary& vocabulary, const MergeTable& merges,
             const std::array<int32_t, 256>& byte_ids);

  // The token of the solid character at `i` in `word`, with its length in bytes; −1 when there is
  // none.
  int32_t token_at(std::string_view word, size_t i, size_t& length) const;

 private:
  static constexpr int32_t kUnknown = -2;
  static constexpr int32_t kNotSolid = -1;
  static constexpr size_t kChars = 0x10000;

  int32_t find_out(std::string_view bytes) const;

  const MergeTable& merges_;
  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> lowest_as_left_;  // by id: the lowest rank of a merge with a neighbour
  std::vector<int32_t> lowest_as_right_;
  std::unique_ptr<std::atomic<int32_t>[]> tokens_;  // by code point, found out at first need
};

}  // namespace lotse
