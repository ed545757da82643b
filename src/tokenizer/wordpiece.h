// WordPiece (Devlin et al. 2018): the longest token that begins a word, then the longest that
// continues it, and so on.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/model.h"
#include "tokenizer/prefix_trie.h"

namespace lotse {

struct WordPieceOptions {
  int32_t unk_id = 0;  // of a whole word that cannot be covered
  std::string continuing_prefix = "##";
  int64_t max_chars_per_word = 100;  // a longer word is unknown
};

class WordPiece : public Model {
 public:
  // Reserved ids are never chosen. An error names `place`.
  static Result<std::unique_ptr<Model>> create(Vocabulary vocabulary, WordPieceOptions options,
                                               const ReservedIds& reserved, std::string_view place);

  Result<void> tokenize(std::string_view word, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const override;

 private:
  WordPiece(Vocabulary vocabulary, WordPieceOptions options)
      : Model(std::move(vocabulary)), options_(std::move(options)) {}

  bool cover(std::string_view word, std::vector<int32_t>& ids) const;

  WordPieceOptions options_;
  PrefixTrie trie_;
  uint32_t continuing_ = PrefixTrie::kRoot;  // the node of the prefix; kNone when no token has it
  bool has_continuing_ = false;
};

}  // namespace lotse
