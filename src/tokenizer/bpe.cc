#include "tokenizer/bpe.h"

#include <algorithm>
#include <functional>

#include "base/utf8.h"

namespace lotse {
namespace {

// Up to this many symbols a scan for the lowest rank is faster than a heap.
constexpr size_t kShortWord = 64;
// SentencePiece's space.
constexpr std::string_view kBlank = "▁";

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options, const ReservedIds& reserved)
    : Model(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      plain_(options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty()),
      whole_(new std::atomic<Whole>[static_cast<size_t>(this->vocabulary().size())]) {
  LOTSE_CHECK(plain_ || !this->vocabulary().byte_level());
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[static_cast<size_t>(byte)] = this->vocabulary().find({&c, 1});
  }
  fallback_ids_ = this->vocabulary().byte_fallback_ids();
  has_fallback_ =
      options_.byte_fallback && std::ranges::find(fallback_ids_, -1) == fallback_ids_.end();
  for (int32_t id = 0; id < this->vocabulary().size(); ++id) {
    const Whole known = options_.ignore_merges ? Whole::yes : Whole::unknown;
    whole_[static_cast<size_t>(id)] = is_reserved(reserved, id) ? Whole::no : known;
  }
  if (this->vocabulary().byte_level()) {
    solid_chars_ = std::make_unique<SolidChars>(this->vocabulary(), merges_, byte_ids_);
  } else {
    cuts_at_spaces_ = spaces_begin_words();
  }
}

bool Bpe::spaces_begin_words() const {
  if (!plain_ || options_.ignore_merges || vocabulary().find(kBlank) < 0) return false;
  bool begin = true;
  merges_.for_each([&](int32_t left, int32_t right, int32_t) {
    if (!vocabulary().bytes(right).starts_with(kBlank)) return;
    std::string_view before = vocabulary().bytes(left);
    while (before.starts_with(kBlank)) before.remove_prefix(kBlank.size());
    begin = begin && before.empty();
  });
  return begin;
}

Result<void> Bpe::tokenize(std::string_view word, ModelScratch& scratch,
                           std::vector<int32_t>& ids) const {
  if (!cuts_at_spaces_) {
    tokenize_word(word, scratch, ids);
    return {};
  }
  for (size_t begin = 0; begin < word.size();) {
    size_t end = begin;
    while (word.substr(end).starts_with(kBlank)) end += kBlank.size();
    end = std::min(word.find(kBlank, end), word.size());
    tokenize_word(word.substr(begin, end - begin), scratch, ids);
    begin = end;
  }
  return {};
}

void Bpe::tokenize_word(std::string_view word, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const {
  const int32_t whole = whole_token(word, scratch);
  if (whole >= 0) {
    ids.push_back(whole);
  } else {
    apply(word, scratch, ids);
  }
}

int32_t Bpe::whole_token(std::string_view word, ModelScratch& scratch) const {
  if (static_cast<int64_t>(word.size()) > vocabulary().longest_token()) return -1;
  const int32_t id = vocabulary().find(word);
  return id >= 0 && is_whole(id, scratch) ? id : -1;
}

bool Bpe::is_whole(int32_t id, ModelScratch& scratch) const {
  std::atomic<Whole>& known = whole_[static_cast<size_t>(id)];
  Whole whole = known.load(std::memory_order_relaxed);
  if (whole == Whole::unknown) {
    std::vector<int32_t> ids;
    apply(vocabulary().bytes(id), scratch, ids);
    whole = ids.size() == 1 && ids[0] == id ? Whole::yes : Whole::no;
    known.store(whole, std::memory_order_relaxed);
  }
  return whole == Whole::yes;
}

void Bpe::apply(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  scratch.ids.clear();
  if (vocabulary().byte_level()) {
    symbols_of_bytes(text, scratch.ids);
  } else {
    symbols_of_chars(text, scratch.ids);
  }
  if (scratch.ids.size() <= kShortWord) {
    merge_short(scratch.ids, ids);
  } else {
    merge_long(scratch, ids);
  }
}

void Bpe::symbols_of_bytes(std::string_view word, std::vector<int32_t>& symbols) const {
  bool unknown_before = false;
  for (size_t i = 0; i < word.size();) {
    const auto byte = static_cast<uint8_t>(word[i]);
    size_t length = 1;
    int32_t id = byte >= 0xc0 ? solid_chars_->token_at(word, i, length) : -1;
    if (id < 0) {
      length = 1;
      id = byte_ids_[byte];
    }
    const bool unknown = id < 0;
    if (!unknown) {
      symbols.push_back(id);
    } else if (options_.unk_id >= 0 && !(options_.fuse_unk && unknown_before)) {
      symbols.push_back(options_.unk_id);
    }
    unknown_before = unknown;
    i += length;
  }
}

int32_t Bpe::symbol(std::string_view c, bool first, bool last) const {
  if (plain_) return c.size() == 1 ? byte_ids_[static_cast<uint8_t>(c[0])] : vocabulary().find(c);
  std::string symbol;
  if (!first) symbol = options_.continuing_subword_prefix;
  symbol += c;
  if (last) symbol += options_.end_of_word_suffix;
  return vocabulary().find(symbol);
}

bool Bpe::append_fallback(std::string_view c, std::vector<int32_t>& symbols) const {
  if (!has_fallback_) return false;
  for (const char byte : c) symbols.push_back(fallback_ids_[static_cast<uint8_t>(byte)]);
  return true;
}

void Bpe::symbols_of_chars(std::string_view word, std::vector<int32_t>& symbols) const {
  bool unknown_before = false;
  for (size_t i = 0; i < word.size();) {
    const auto length = static_cast<size_t>(decode_utf8(word, i).length);
    const std::string_view c = word.substr(i, length);
    const int32_t id = symbol(c, i == 0, i + length == word.size());
    bool unknown = false;
    if (id >= 0) {
      symbols.push_back(id);
    } else if (!append_fallback(c, symbols)) {
      unknown = true;
      if (options_.unk_id >= 0 && !(options_.fuse_unk && unknown_before)) {
        symbols.push_back(options_.unk_id);
      }
    }
    unknown_before = unknown;
    i += length;
  }
}

void Bpe::merge_short(std::vector<int32_t>& symbols, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortWord> ranks;  // of the pair that begins at each symbol
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges_.rank(symbols[i], symbols[i + 1]);
  while (count > 1) {
    int32_t lowest = MergeTable::kNone;
    for (size_t i = 0; i + 1 < count; ++i) lowest = std::min(lowest, ranks[i]);
    if (lowest == MergeTable::kNone) break;
    size_t at = 0;
    while (ranks[at] != lowest) ++at;
    symbols[at] = merges_.merged(lowest);
    --count;
    for (size_t i = at + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i - 1] = ranks[i];
    }
    if (at > 0) ranks[at - 1] = merges_.rank(symbols[at - 1], symbols[at]);
    if (at + 1 < count) ranks[at] = merges_.rank(symbols[at], symbols[at + 1]);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

// Symbols form a doubly linked list; one that has been merged into its left neighbour has id −1.
// The heap holds rank << 32 | position of candidate pairs, lowest first; a candidate whose pair has
// changed since differs from the pair's rank in `ranks`.
class Bpe::LongWord {
 public:
  LongWord(const MergeTable& merges, ModelScratch& scratch)
      : merges_(merges),
        symbols_(scratch.ids),
        previous_(scratch.previous),
        next_(scratch.next),
        ranks_(scratch.ranks),
        heap_(scratch.heap),
        count_(static_cast<int32_t>(symbols_.size())) {
    previous_.resize(symbols_.size());
    next_.resize(symbols_.size());
    ranks_.assign(symbols_.size(), MergeTable::kNone);
    heap_.clear();
    for (int32_t i = 0; i < count_; ++i) {
      previous_[at(i)] = i - 1;
      next_[at(i)] = i + 1;
      if (i + 1 < count_ && set_rank(i)) heap_.push_back(candidate(i));
    }
    std::ranges::make_heap(heap_, std::greater<>());
  }

  void merge_all() {
    while (!heap_.empty()) {
      std::ranges::pop_heap(heap_, std::greater<>());
      const auto rank = static_cast<int32_t>(heap_.back() >> 32);
      const auto i = static_cast<int32_t>(heap_.back() & UINT32_MAX);
      heap_.pop_back();
      if (ranks_[at(i)] == rank) merge(i);
    }
  }

 private:
  static size_t at(int32_t position) { return static_cast<size_t>(position); }
  uint64_t candidate(int32_t i) const {
    return (static_cast<uint64_t>(ranks_[at(i)]) << 32) | static_cast<uint64_t>(i);
  }

  bool set_rank(int32_t i) {
    ranks_[at(i)] = merges_.rank(symbols_[at(i)], symbols_[at(next_[at(i)])]);
    return ranks_[at(i)] != MergeTable::kNone;
  }

  void offer(int32_t i) {
    if (!set_rank(i)) return;
    heap_.push_back(candidate(i));
    std::ranges::push_heap(heap_, std::greater<>());
  }

  void merge(int32_t i) {
    const int32_t right = next_[at(i)];
    symbols_[at(i)] = merges_.merged(ranks_[at(i)]);
    symbols_[at(right)] = -1;
    ranks_[at(i)] = ranks_[at(right)] = MergeTable::kNone;
    const int32_t after = next_[at(i)] = next_[at(right)];
    if (after < count_) {
      previous_[at(after)] = i;
      offer(i);
    }
    if (previous_[at(i)] >= 0) offer(previous_[at(i)]);
  }

  const MergeTable& merges_;
  std::vector<int32_t>& symbols_;
  std::vector<int32_t>& previous_;
  std::vector<int32_t>& next_;
  std::vector<int32_t>& ranks_;  // of the pair that begins at each symbol
  std::vector<uint64_t>& heap_;
  int32_t count_;
};

void Bpe::merge_long(ModelScratch& scratch, std::vector<int32_t>& ids) const {
  LongWord(merges_, scratch).merge_all();
  for (const int32_t id : scratch.ids) {
    if (id >= 0) ids.push_back(id);
  }
}

}  // namespace lotse
