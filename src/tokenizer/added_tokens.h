// Tokens that are found in text by name, before the model sees it: special tokens such as
// <|im_start|>, and words added to a vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "tokenizer/function_ref.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/prefix_trie.h"
#include "tokenizer/vocabulary.h"

namespace lotse {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only where no word character stands before or after
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // sought in normalised text, in its own normalised form
  bool special = false;      // left out when decoding without special tokens
};

// Whether text from users must not become this token: special ones, and those written like markers
// (`<think>`, `[INST]`), which checkpoints often fail to declare special.
bool is_privileged(const AddedToken& token);

// Byte ranges of trusted text, ascending and apart from one another.
struct TextRange {
  size_t begin;
  size_t end;
};

// Finds tokens of one kind, leftmost first and the longest of those.
class TokenMatcher {
 public:
  // `form` is what is sought in text. An error names `place`.
  Result<void> add(std::string_view form, size_t index, std::string_view place);

  struct Match {
    size_t begin;
    size_t end;
    size_t index;
  };
  // The first match at or after `from` that `allowed` accepts; only the longest is offered at each
  // place, or shorter ones where `allowed` refuses it.
  std::optional<Match> find(std::string_view text, size_t from,
                            FunctionRef<bool(const Match&)> allowed) const;
  bool empty() const { return empty_; }

 private:
  PrefixTrie trie_;
  std::array<bool, 256> first_bytes_{};
  bool empty_ = true;
};

// Read-only and thread-safe once built.
class AddedTokens {
 public:
  // `normalizer` may be null. Errors name `place`: a token's content longer than 512 bytes.
  static Result<AddedTokens> create(std::vector<AddedToken> tokens, const Normalizer* normalizer,
                                    std::string_view place);

  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }
  int64_t largest_id() const;  // −1 without tokens

  // Reports the tokens found in raw text and the text between them: token is null for text.
  using Sink = FunctionRef<Result<void>(const AddedToken* token, std::string_view text)>;
  Result<void> split_raw(std::string_view text, const std::vector<TextRange>& trusted,
                         Sink sink) const;
  // The same for normalised text, trusted as a whole or not.
  Result<void> split_normalized(std::string_view text, bool trusted, Sink sink) const;
  bool has_normalized() const { return !normalized_.empty(); }

 private:
  Result<void> split(const TokenMatcher& matcher, std::string_view text,
                     const std::vector<TextRange>& trusted, Sink sink) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::map<std::string, size_t, std::less<>> by_content_;
  TokenMatcher raw_;
  TokenMatcher normalized_;
  // raw_ and the privileged ones of normalized_: for text that is trusted in part, where trust
  // cannot be followed through the normaliser.
  TokenMatcher raw_and_privileged_;
};

}  // namespace lotse
