// SentencePiece's precompiled character map (the normalisation rules of T5 and others): four bytes
// of the trie's size, the trie as a double array in the format of Darts-clone, then the
// replacements.
#include <utf8proc.h>

#include <cstring>

#include "tokenizer/normalizer.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

constexpr size_t kMaxNormalized = size_t{256} << 20;

class Precompiled : public Normalizer {
 public:
  Precompiled(std::vector<uint32_t> units, std::string replacements)
      : units_(std::move(units)), replacements_(std::move(replacements)) {}

  // Looks up whole grapheme clusters of up to five bytes, then single characters.
  Result<bool> normalize(std::string_view text, std::string& out) const override {
    out.clear();
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const size_t end = grapheme_end(text, i);
      append_grapheme(text.substr(i, end - i), out);
      i = end;
      if (out.size() > kMaxNormalized) {
        return fail(ErrorCode::limit, "normalizer: the text grows beyond {} bytes", kMaxNormalized);
      }
    }
    return out != text;
  }

 private:
  static size_t grapheme_end(std::string_view text, size_t i) {
    utf8proc_int32_t state = 0;
    auto before = static_cast<utf8proc_int32_t>(next_char(text, i));
    while (i < text.size()) {
      size_t next = i;
      const auto c = static_cast<utf8proc_int32_t>(next_char(text, next));
      if (utf8proc_grapheme_break_stateful(before, c, &state)) break;
      before = c;
      i = next;
    }
    return i;
  }

  void append_grapheme(std::string_view grapheme, std::string& out) const {
    constexpr size_t kLongestLookUp = 5;
    if (grapheme.size() <= kLongestLookUp && append_replacement(grapheme, out)) return;
    for (size_t i = 0; i < grapheme.size();) {
      const size_t begin = i;
      next_char(grapheme, i);
      const std::string_view c = grapheme.substr(begin, i - begin);
      if (!append_replacement(c, out)) out += c;
    }
  }

  // By the shortest entry that begins `key`, as the reference implementation has it.
  bool append_replacement(std::string_view key, std::string& out) const {
    uint32_t unit = units_[0];
    size_t node = offset(unit);
    for (const char c : key) {
      const auto byte = static_cast<uint8_t>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size()) return false;
      unit = units_[node];
      if ((unit & 0x800000ffu) != byte) return false;
      node ^= offset(unit);
      if (((unit >> 8) & 1u) == 0) continue;
      if (node >= units_.size()) return false;
      const size_t begin = units_[node] & 0x7fffffffu;
      if (begin > replacements_.size()) return false;
      out += replacements_.c_str() + begin;
      return true;
    }
    return false;
  }

  static size_t offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

  std::vector<uint32_t> units_;  // at least one
  std::string replacements_;
};

}  // namespace

Result<std::unique_ptr<Normalizer>> precompiled_charsmap(std::string_view charsmap,
                                                         std::string_view place) {
  uint32_t trie_bytes = 0;
  if (charsmap.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, charsmap.data(), 4);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > charsmap.size() - 4) {
    return fail(ErrorCode::invalid_input,
                "{}: a character map of {} bytes cannot hold its trie of {} bytes", place,
                charsmap.size(), trie_bytes);
  }
  std::vector<uint32_t> units(trie_bytes / 4);
  std::memcpy(units.data(), charsmap.data() + 4, trie_bytes);
  return std::make_unique<Precompiled>(std::move(units),
                                       std::string(charsmap.substr(4 + trie_bytes)));
}

}  // namespace lotse
