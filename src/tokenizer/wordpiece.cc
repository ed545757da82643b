#include "tokenizer/wordpiece.h"

#include "tokenizer/unicode.h"

namespace lotse {

Result<std::unique_ptr<Model>> WordPiece::create(Vocabulary vocabulary, WordPieceOptions options,
                                                 const ReservedIds& reserved,
                                                 std::string_view place) {
  std::unique_ptr<WordPiece> model(new WordPiece(std::move(vocabulary), std::move(options)));
  for (int32_t id = 0; id < model->vocabulary().size(); ++id) {
    if (!model->vocabulary().contains(id) || is_reserved(reserved, id)) continue;
    LOTSE_TRY(model->trie_.insert(model->vocabulary().bytes(id), id, place));
  }
  const std::string& prefix = model->options_.continuing_prefix;
  model->continuing_ = model->trie_.descend(PrefixTrie::kRoot, prefix);
  model->has_continuing_ = prefix.empty() || model->continuing_ != PrefixTrie::kNone;
  return model;
}

Result<void> WordPiece::tokenize(std::string_view word, ModelScratch&,
                                 std::vector<int32_t>& ids) const {
  int64_t chars = 0;
  for (size_t i = 0; i < word.size(); ++chars) next_char(word, i);
  const size_t before = ids.size();
  if (chars > options_.max_chars_per_word || !cover(word, ids)) {
    ids.resize(before);
    ids.push_back(options_.unk_id);
  }
  return {};
}

bool WordPiece::cover(std::string_view word, std::vector<int32_t>& ids) const {
  for (size_t begin = 0; begin < word.size();) {
    if (begin > 0 && !has_continuing_) return false;
    uint32_t node = begin == 0 ? PrefixTrie::kRoot : continuing_;
    int32_t id = -1;
    size_t covered = begin;
    for (size_t i = begin; i < word.size();) {
      node = trie_.child(node, static_cast<uint8_t>(word[i++]));
      if (node == PrefixTrie::kNone) break;
      if (trie_.value(node) < 0) continue;
      id = trie_.value(node);
      covered = i;
    }
    if (id < 0) return false;
    ids.push_back(id);
    begin = covered;
  }
  return true;
}

}  // namespace lotse
