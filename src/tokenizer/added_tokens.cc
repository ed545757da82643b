#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

constexpr size_t kLongestContent = 512;

bool is_word_char(char32_t c) {
  return (CharClasses::get()[c] & kWord) != 0 || c == 0x200c || c == 0x200d;
}

bool is_apart(std::string_view text, size_t begin, size_t end) {
  if (begin > 0) {
    size_t i = previous_char(text, begin);
    if (is_word_char(next_char(text, i))) return false;
  }
  return end == text.size() || !is_word_char(next_char(text, end));
}

size_t without_space_before(std::string_view text, size_t begin, size_t least) {
  while (begin > least) {
    const size_t previous = previous_char(text, begin);
    size_t i = previous;
    if (!is_white_space(next_char(text, i))) break;
    begin = previous;
  }
  return begin;
}

size_t with_space_after(std::string_view text, size_t end) {
  for (size_t i = end; i < text.size() && is_white_space(next_char(text, i));) end = i;
  return end;
}

bool is_inside(const std::vector<TextRange>& ranges, size_t begin, size_t end) {
  const auto after = std::ranges::upper_bound(ranges, begin, {}, &TextRange::begin);
  return after != ranges.begin() && end <= std::prev(after)->end;
}

}  // namespace

bool is_privileged(const AddedToken& token) {
  const std::string_view content = token.content;
  const bool marker = content.size() > 2 && ((content.starts_with('<') && content.ends_with('>')) ||
                                             (content.starts_with('[') && content.ends_with(']')));
  return token.special || marker;
}

Result<void> TokenMatcher::add(std::string_view form, size_t index, std::string_view place) {
  if (form.empty()) return {};
  if (form.size() > 4 * kLongestContent) {
    return fail(ErrorCode::limit, "{}: \"{}\" has {} bytes, more than {}", place,
                shown_briefly(form), form.size(), 4 * kLongestContent);
  }
  LOTSE_TRY(trie_.insert(form, static_cast<int32_t>(index), place));
  first_bytes_[static_cast<uint8_t>(form[0])] = true;
  empty_ = false;
  return {};
}

std::optional<TokenMatcher::Match> TokenMatcher::find(
    std::string_view text, size_t from, FunctionRef<bool(const Match&)> allowed) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<uint8_t>(text[begin])]) continue;
    std::optional<Match> best;
    uint32_t node = PrefixTrie::kRoot;
    for (size_t i = begin; i < text.size();) {
      node = trie_.child(node, static_cast<uint8_t>(text[i++]));
      if (node == PrefixTrie::kNone) break;
      if (trie_.value(node) < 0) continue;
      const Match match{begin, i, static_cast<size_t>(trie_.value(node))};
      if (allowed(match)) best = match;
    }
    if (best) return best;
  }
  return std::nullopt;
}

Result<AddedTokens> AddedTokens::create(std::vector<AddedToken> tokens,
                                        const Normalizer* normalizer, std::string_view place) {
  AddedTokens added;
  added.tokens_ = std::move(tokens);
  for (size_t i = 0; i < added.tokens_.size(); ++i) {
    const AddedToken& token = added.tokens_[i];
    if (token.content.size() > kLongestContent) {
      return fail(ErrorCode::limit, "{}: \"{}\" has {} bytes, more than {}", place,
                  shown_briefly(token.content), token.content.size(), kLongestContent);
    }
    added.by_id_.emplace(token.id, i);
    added.by_content_.emplace(token.content, i);
    if (!token.normalized || is_privileged(token)) {
      LOTSE_TRY(added.raw_and_privileged_.add(token.content, i, place));
    }
    if (!token.normalized) {
      LOTSE_TRY(added.raw_.add(token.content, i, place));
      continue;
    }
    std::string form;
    if (normalizer == nullptr || !LOTSE_TRY(normalizer->normalize(token.content, form))) {
      form = token.content;
    }
    LOTSE_TRY(added.normalized_.add(form, i, place));
  }
  return added;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

int64_t AddedTokens::largest_id() const {
  int64_t largest = -1;
  for (const AddedToken& token : tokens_) largest = std::max<int64_t>(largest, token.id);
  return largest;
}

Result<void> AddedTokens::split_raw(std::string_view text, const std::vector<TextRange>& trusted,
                                    Sink sink) const {
  const bool whole = trusted.empty() || (trusted[0].begin == 0 && trusted[0].end == text.size());
  return split(whole ? raw_ : raw_and_privileged_, text, trusted, sink);
}

Result<void> AddedTokens::split_normalized(std::string_view text, bool trusted, Sink sink) const {
  std::vector<TextRange> ranges;
  if (trusted) ranges.push_back({0, text.size()});
  return split(normalized_, text, ranges, sink);
}

Result<void> AddedTokens::split(const TokenMatcher& matcher, std::string_view text,
                                const std::vector<TextRange>& trusted, Sink sink) const {
  if (matcher.empty()) return text.empty() ? Result<void>() : sink(nullptr, text);
  const auto allowed = [&](const TokenMatcher::Match& match) {
    return !is_privileged(tokens_[match.index]) || is_inside(trusted, match.begin, match.end);
  };
  size_t done = 0;
  size_t from = 0;
  while (const auto match = matcher.find(text, from, allowed)) {
    from = match->end;
    const AddedToken& token = tokens_[match->index];
    if (token.single_word && !is_apart(text, match->begin, match->end)) continue;
    size_t begin = match->begin;
    size_t end = match->end;
    if (token.lstrip) begin = without_space_before(text, begin, done);
    if (token.rstrip) end = with_space_after(text, end);
    if (begin > done) LOTSE_TRY(sink(nullptr, text.substr(done, begin - done)));
    LOTSE_TRY(sink(&token, text.substr(begin, end - begin)));
    done = from = end;
  }
  if (done < text.size()) LOTSE_TRY(sink(nullptr, text.substr(done)));
  return {};
}

}  // namespace lotse
