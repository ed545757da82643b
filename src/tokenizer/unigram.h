// Unigram language model tokenisation (Kudo 2018): the segmentation of a word with the largest sum
// of scores, by Viterbi.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/prefix_trie.h"

namespace lotse {

struct UnigramOptions {
  int32_t unk_id = -1;  // −1: an unknown character is an error
  bool byte_fallback = false;
};

class Unigram : public Model {
 public:
  // `scores` by id: log probabilities, finite. Reserved ids are never chosen. An error names
  // `place`.
  static Result<std::unique_ptr<Model>> create(Vocabulary vocabulary, std::vector<double> scores,
                                               UnigramOptions options, const ReservedIds& reserved,
                                               std::string_view place);

  Result<void> tokenize(std::string_view word, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const override;

 private:
  Unigram(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options);

  void find_best(std::string_view word, ModelScratch& scratch) const;
  Result<void> append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

  std::vector<double> scores_;
  double unknown_score_;
  UnigramOptions options_;
  PrefixTrie trie_;
  std::array<int32_t, 256> fallback_ids_;
  bool has_fallback_ = false;
};

}  // namespace lotse
