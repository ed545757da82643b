#include "tokenizer/solid_chars.h"

#include <algorithm>

#include "base/utf8.h"

namespace lotse {
namespace {

bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

}  // namespace

SolidChars::SolidChars(const Vocabulary& vocabulary, const MergeTable& merges,
                       const std::array<int32_t, 256>& byte_ids)
    : merges_(merges),
      byte_ids_(byte_ids),
      lowest_as_left_(static_cast<size_t>(vocabulary.size()), MergeTable::kNone),
      lowest_as_right_(static_cast<size_t>(vocabulary.size()), MergeTable::kNone),
      tokens_(new std::atomic<int32_t>[kChars]) {
  for (size_t i = 0; i < kChars; ++i) tokens_[i].store(kUnknown, std::memory_order_relaxed);
  struct Ends {
    bool are_there = false;
    bool begins_whole = false;  // not with a byte 80–BF
    bool ends_beyond_ascii = false;
  };
  std::vector<Ends> ends(static_cast<size_t>(vocabulary.size()));
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.contains(id) || vocabulary.bytes(id).empty()) continue;
    const std::string_view bytes = vocabulary.bytes(id);
    ends[static_cast<size_t>(id)] = {true, !is_continuation(bytes.front()),
                                     is_continuation(bytes.back())};
  }
  merges.for_each([&](int32_t left, int32_t right, int32_t rank) {
    const Ends left_ends = ends[static_cast<size_t>(left)];
    const Ends right_ends = ends[static_cast<size_t>(right)];
    if (!left_ends.are_there || !right_ends.are_there) return;
    int32_t& as_left = lowest_as_left_[static_cast<size_t>(left)];
    int32_t& as_right = lowest_as_right_[static_cast<size_t>(right)];
    if (right_ends.begins_whole) as_left = std::min(as_left, rank);
    if (left_ends.ends_beyond_ascii) as_right = std::min(as_right, rank);
  });
}

int32_t SolidChars::token_at(std::string_view word, size_t i, size_t& length) const {
  if (i > 0 && !is_continuation(word[i - 1])) return kNotSolid;
  const Utf8Char c = decode_utf8(word, i);
  if (!c.valid || c.length == 1 || c.code_point >= kChars) return kNotSolid;
  length = static_cast<size_t>(c.length);
  if (i + length < word.size() && is_continuation(word[i + length])) return kNotSolid;
  std::atomic<int32_t>& known = tokens_[c.code_point];
  int32_t token = known.load(std::memory_order_relaxed);
  if (token == kUnknown) {
    token = find_out(word.substr(i, length));
    known.store(token, std::memory_order_relaxed);
  }
  return token;
}

int32_t SolidChars::find_out(std::string_view bytes) const {
  std::vector<int32_t> symbols;
  for (const char c : bytes) symbols.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  if (std::ranges::find(symbols, -1) != symbols.end()) return kNotSolid;
  int32_t highest = -1;
  int32_t lowest_outside = MergeTable::kNone;
  while (true) {
    const auto first = static_cast<size_t>(symbols.front());
    const auto last = static_cast<size_t>(symbols.back());
    lowest_outside = std::min({lowest_outside, lowest_as_right_[first], lowest_as_left_[last]});
    if (symbols.size() == 1) break;
    int32_t rank = MergeTable::kNone;
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const int32_t here = merges_.rank(symbols[i], symbols[i + 1]);
      if (here >= rank) continue;
      rank = here;
      at = i;
    }
    if (rank == MergeTable::kNone) return kNotSolid;
    highest = std::max(highest, rank);
    symbols[at] = merges_.merged(rank);
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at + 1));
  }
  return highest < lowest_outside ? symbols.front() : kNotSolid;
}

}  // namespace lotse
