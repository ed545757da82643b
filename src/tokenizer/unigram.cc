#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

// How much worse than the worst token an unknown character is.
constexpr double kUnknownPenalty = 10.0;
constexpr int32_t kUnknown = -1;
constexpr int32_t kUnreached = -1;

}  // namespace

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options)
    : Model(std::move(vocabulary)), scores_(std::move(scores)), options_(options) {
  const auto lowest = std::ranges::min_element(scores_);
  unknown_score_ = (lowest == scores_.end() ? 0.0 : *lowest) - kUnknownPenalty;
  fallback_ids_ = this->vocabulary().byte_fallback_ids();
  has_fallback_ =
      options_.byte_fallback && std::ranges::find(fallback_ids_, -1) == fallback_ids_.end();
}

Result<std::unique_ptr<Model>> Unigram::create(Vocabulary vocabulary, std::vector<double> scores,
                                               UnigramOptions options, const ReservedIds& reserved,
                                               std::string_view place) {
  std::unique_ptr<Unigram> model(new Unigram(std::move(vocabulary), std::move(scores), options));
  for (int32_t id = 0; id < model->vocabulary().size(); ++id) {
    const std::string_view token = model->vocabulary().bytes(id);
    if (token.empty() || is_reserved(reserved, id)) continue;
    LOTSE_TRY(model->trie_.insert(token, id, place));
  }
  return model;
}

// Fills, by the end of each token in `word`, the best way to get there: scratch.scores, the token's
// id in scratch.ids, and its begin in scratch.previous.
void Unigram::find_best(std::string_view word, ModelScratch& scratch) const {
  const size_t size = word.size();
  scratch.scores.assign(size + 1, 0.0);
  scratch.ids.assign(size + 1, kUnknown);
  scratch.previous.assign(size + 1, kUnreached);
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    const double total = scratch.scores[begin] + score;
    if (scratch.previous[end] != kUnreached && total <= scratch.scores[end]) return;
    scratch.scores[end] = total;
    scratch.ids[end] = id;
    scratch.previous[end] = static_cast<int32_t>(begin);
  };
  for (size_t begin = 0; begin < size;) {
    size_t next = begin;
    next_char(word, next);
    bool has_single = false;
    uint32_t node = PrefixTrie::kRoot;
    for (size_t end = begin; end < size;) {
      node = trie_.child(node, static_cast<uint8_t>(word[end++]));
      if (node == PrefixTrie::kNone) break;
      const int32_t id = trie_.value(node);
      if (id < 0) continue;
      offer(begin, end, id, scores_[static_cast<size_t>(id)]);
      has_single |= end == next;
    }
    if (!has_single) offer(begin, next, kUnknown, unknown_score_);
    begin = next;
  }
}

Result<void> Unigram::tokenize(std::string_view word, ModelScratch& scratch,
                               std::vector<int32_t>& ids) const {
  find_best(word, scratch);
  std::vector<int32_t>& ends = scratch.next;
  ends.clear();
  for (auto end = static_cast<int32_t>(word.size()); end > 0;
       end = scratch.previous[static_cast<size_t>(end)]) {
    ends.push_back(end);
  }
  // Neighbouring unknown characters count as one.
  size_t unknown_begin = word.size();
  size_t begin = 0;
  for (; !ends.empty(); ends.pop_back()) {
    const auto end = static_cast<size_t>(ends.back());
    const int32_t id = scratch.ids[end];
    // Where the token for the unknown is written in text it counts as unknown too.
    if (id == kUnknown || id == options_.unk_id) {
      unknown_begin = std::min(unknown_begin, begin);
    } else {
      if (unknown_begin < begin) {
        LOTSE_TRY(append_unknown(word.substr(unknown_begin, begin - unknown_begin), ids));
        unknown_begin = word.size();
      }
      ids.push_back(id);
    }
    begin = end;
  }
  if (unknown_begin < word.size()) return append_unknown(word.substr(unknown_begin), ids);
  return {};
}

Result<void> Unigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (has_fallback_) {
    for (const char byte : text) ids.push_back(fallback_ids_[static_cast<uint8_t>(byte)]);
    return {};
  }
  if (options_.unk_id < 0) {
    return fail(ErrorCode::invalid_input,
                "the vocabulary has no token for \"{}\", and model.unk_id is missing",
                shown_briefly(text));
  }
  ids.push_back(options_.unk_id);
  return {};
}

}  // namespace lotse
