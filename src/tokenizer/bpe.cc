#include "tokenizer/bpe.h"

#include <algorithm>
#include <functional>

#include "base/utf8.h"

namespace lotse {
namespace {

// Up to this many symbols a scan for the lowest rank is faster than a heap.
constexpr size_t kShortWord = 40;

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
}

Result<void> Bpe::tokenize(std::string_view word, ModelScratch& scratch,
                           std::vector<int32_t>& ids) const {
  const int32_t whole = whole_token(word, scratch);
  if (whole >= 0) {
    ids.push_back(whole);
  } else {
    apply(word, scratch, ids);
  }
  return {};
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
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    const bool unknown = id < 0;
    if (!unknown) {
      symbols.push_back(id);
    } else if (options_.unk_id >= 0 && !(options_.fuse_unk && unknown_before)) {
      symbols.push_back(options_.unk_id);
    }
    unknown_before = unknown;
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
  std::array<uint32_t, kShortWord> ranks;  // of the pair that begins at each symbol
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges_.rank(symbols[i], symbols[i + 1]);
  while (count > 1) {
    const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(count - 1);
    const auto lowest = std::min_element(ranks.begin(), end);
    if (*lowest == MergeTable::kNone) break;
    const auto at = static_cast<size_t>(lowest - ranks.begin());
    symbols[at] = merges_.merged(*lowest);
    std::copy(lowest + 1, end, lowest);
    const auto right = symbols.begin() + static_cast<std::ptrdiff_t>(at + 1);
    std::copy(right + 1, symbols.begin() + static_cast<std::ptrdiff_t>(count), right);
    --count;
    if (at > 0) ranks[at - 1] = merges_.rank(symbols[at - 1], symbols[at]);
    if (at + 1 < count) ranks[at] = merges_.rank(symbols[at], symbols[at + 1]);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

// Symbols form a doubly linked list; the heap holds rank << 32 | position of candidate pairs,
// lowest first, and a candidate whose pair has changed since is recognised by its rank. A symbol
// merged into its left neighbour has id −1.
void Bpe::merge_long(ModelScratch& scratch, std::vector<int32_t>& ids) const {
  std::vector<int32_t>& symbols = scratch.ids;
  std::vector<int32_t>& previous = scratch.previous;
  std::vector<int32_t>& next = scratch.next;
  std::vector<uint64_t>& heap = scratch.heap;
  const auto count = static_cast<int32_t>(symbols.size());
  const auto at = [](int32_t position) { return static_cast<size_t>(position); };
  previous.resize(at(count));
  next.resize(at(count));
  heap.clear();
  const auto rank_at = [&](int32_t i) {
    return merges_.rank(symbols[at(i)], symbols[at(next[at(i)])]);
  };
  for (int32_t i = 0; i < count; ++i) {
    previous[at(i)] = i - 1;
    next[at(i)] = i + 1;
    if (i + 1 == count) break;
    const uint32_t rank = rank_at(i);
    if (rank != MergeTable::kNone)
      heap.push_back((uint64_t{rank} << 32) | static_cast<uint32_t>(i));
  }
  std::ranges::make_heap(heap, std::greater<>());
  const auto offer = [&](int32_t i) {
    const uint32_t rank = rank_at(i);
    if (rank == MergeTable::kNone) return;
    heap.push_back((uint64_t{rank} << 32) | static_cast<uint32_t>(i));
    std::ranges::push_heap(heap, std::greater<>());
  };
  while (!heap.empty()) {
    std::ranges::pop_heap(heap, std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto i = static_cast<int32_t>(heap.back());
    heap.pop_back();
    const int32_t right = next[at(i)];
    if (symbols[at(i)] < 0 || right == count || rank_at(i) != rank) continue;
    symbols[at(i)] = merges_.merged(rank);
    symbols[at(right)] = -1;
    next[at(i)] = next[at(right)];
    if (next[at(i)] < count) previous[at(next[at(i)])] = i;
    if (previous[at(i)] >= 0) offer(previous[at(i)]);
    if (next[at(i)] < count) offer(i);
  }
  for (const int32_t id : symbols) {
    if (id >= 0) ids.push_back(id);
  }
}

}  // namespace lotse
