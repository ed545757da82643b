#include "engine/grammar/token_table.h"

#include <algorithm>
#include <numeric>

#include "base/utf8.h"

namespace lotse {
namespace {

constexpr size_t kMaxTokenBytes = 1024;
// Longer plain tokens are left to the other trie.
constexpr int64_t kMaxPlainCharacters = 32;

// The number of characters, or −1 for bytes that do not stand in a JSON string as they are.
int64_t plain_characters(std::string_view bytes) {
  int64_t count = 0;
  for (size_t at = 0; at < bytes.size(); ++count) {
    const Utf8Char c = decode_utf8(bytes, at);
    if (!c.valid || c.code_point < 0x20 || c.code_point == '"' || c.code_point == '\\') return -1;
    at += static_cast<size_t>(c.length);
  }
  return count;
}

TokenTrie build_trie(const std::vector<std::string>& bytes, std::vector<int32_t> ids) {
  std::ranges::sort(ids, [&](int32_t a, int32_t b) {
    const auto& left = bytes[static_cast<size_t>(a)];
    const auto& right = bytes[static_cast<size_t>(b)];
    return left != right ? left < right : a < b;
  });
  TokenTrie trie;
  std::vector<int32_t> open;  // the nodes on the path of the last token
  std::string_view last;
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      trie.subtree_end[static_cast<size_t>(open.back())] = trie.size();
    }
  };
  for (const int32_t id : ids) {
    const std::string_view text = bytes[static_cast<size_t>(id)];
    const auto difference = std::ranges::mismatch(text, last);
    close(static_cast<size_t>(difference.in1 - text.begin()));
    for (size_t at = open.size(); at < text.size(); ++at) {
      open.push_back(trie.size());
      trie.byte.push_back(static_cast<uint8_t>(text[at]));
      trie.depth.push_back(static_cast<uint16_t>(at + 1));
      trie.subtree_end.push_back(0);
      trie.tokens_begin.push_back(static_cast<int32_t>(trie.tokens.size()));
    }
    trie.tokens.push_back(id);
    last = text;
  }
  close(0);
  trie.tokens_begin.push_back(static_cast<int32_t>(trie.tokens.size()));
  return trie;
}

}  // namespace

std::shared_ptr<const TokenTable> TokenTable::create(const Tokenizer& tokenizer) {
  std::vector<std::string> bytes(static_cast<size_t>(tokenizer.vocab_size()));
  for (size_t id = 0; id < bytes.size(); ++id) {
    auto text = tokenizer.token_bytes(static_cast<int32_t>(id));
    if (text) bytes[id] = std::move(*text);
  }
  return create(std::move(bytes));
}

std::shared_ptr<const TokenTable> TokenTable::create(std::vector<std::string> bytes) {
  auto table = std::make_shared<TokenTable>();
  table->bytes_ = std::move(bytes);
  std::vector<int32_t> plain;
  std::vector<int32_t> others;
  std::vector<std::vector<int32_t>> by_length(1);
  for (size_t id = 0; id < table->bytes_.size(); ++id) {
    const std::string& text = table->bytes_[id];
    if (text.empty() || text.size() > kMaxTokenBytes) continue;
    const int64_t characters = plain_characters(text);
    if (characters < 0 || characters > kMaxPlainCharacters) {
      others.push_back(static_cast<int32_t>(id));
      continue;
    }
    plain.push_back(static_cast<int32_t>(id));
    if (static_cast<size_t>(characters) >= by_length.size()) {
      by_length.resize(static_cast<size_t>(characters) + 1);
    }
    by_length[static_cast<size_t>(characters)].push_back(static_cast<int32_t>(id));
  }
  std::vector<uint32_t> mask(table->mask_words());
  for (const auto& ids : by_length) {
    for (const int32_t id : ids) mask[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
    table->plain_masks_.push_back(mask);
  }
  table->plain_trie_ = build_trie(table->bytes_, std::move(plain));
  table->other_trie_ = build_trie(table->bytes_, std::move(others));
  return table;
}

std::string_view TokenTable::bytes(int32_t token) const {
  if (token < 0 || token >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(token)];
}

std::span<const uint32_t> TokenTable::plain_mask(int64_t characters) const {
  return plain_masks_[static_cast<size_t>(std::min(characters, longest_plain()))];
}

}  // namespace lotse
