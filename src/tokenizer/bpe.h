// Byte-pair encoding (Sennrich et al. 2016) over bytes or characters, as tokenizer.json defines it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "tokenizer/merge_table.h"
#include "tokenizer/model.h"
#include "tokenizer/solid_chars.h"

namespace lotse {

struct BpeOptions {
  bool byte_fallback = false;  // an unknown character becomes its bytes, written <0x0A>
  bool fuse_unk = false;       // neighbouring unknown characters give one unknown token
  bool ignore_merges = false;  // a word that is a token is that token, whatever the merges say
  int32_t unk_id = -1;         // −1: unknown characters are dropped
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;
};

class Bpe : public Model {
 public:
  // A byte-level vocabulary makes the bytes of a word its first symbols, else its characters are;
  // `continuing_subword_prefix` and `end_of_word_suffix` must then be empty.
  Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options, const ReservedIds& reserved);

  Result<void> tokenize(std::string_view word, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const override;

 private:
  class LongWord;
  // Whether the merges turn the text of a token into that token; found out at first need.
  enum class Whole : uint8_t { unknown, yes, no };

  void tokenize_word(std::string_view word, ModelScratch& scratch, std::vector<int32_t>& ids) const;
  bool spaces_begin_words() const;
  int32_t whole_token(std::string_view word, ModelScratch& scratch) const;
  bool is_whole(int32_t id, ModelScratch& scratch) const;
  void apply(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const;
  void symbols_of_bytes(std::string_view word, std::vector<int32_t>& symbols) const;
  void symbols_of_chars(std::string_view word, std::vector<int32_t>& symbols) const;
  int32_t symbol(std::string_view c, bool first, bool last) const;
  bool append_fallback(std::string_view c, std::vector<int32_t>& symbols) const;
  void merge_short(std::vector<int32_t>& symbols, std::vector<int32_t>& ids) const;
  void merge_long(ModelScratch& scratch, std::vector<int32_t>& ids) const;

  MergeTable merges_;
  BpeOptions options_;
  bool plain_;                             // neither prefix nor suffix
  std::array<int32_t, 256> byte_ids_;      // of a byte-level vocabulary, or of ASCII characters
  std::array<int32_t, 256> fallback_ids_;  // of <0x00> to <0xFF>
  bool has_fallback_ = false;              // all 256 of them are there
  std::unique_ptr<std::atomic<Whole>[]> whole_;
  std::unique_ptr<SolidChars> solid_chars_;  // of a byte-level vocabulary
  // No merge joins "▁" to something before it that is no "▁": text can be cut there.
  bool cuts_at_spaces_ = false;
};

}  // namespace lotse
