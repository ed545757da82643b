// What a pattern finds in text: the matches of a regular expression, of a literal, of a class of
// characters, or of one of the well-known pre-tokenizer expressions, which have hand-written code.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "tokenizer/function_ref.h"

namespace lotse {

// Called with the byte range of a match; ranges ascend and do not overlap. An error stops the
// search and is passed on.
using MatchSink = FunctionRef<Result<void>(size_t begin, size_t end)>;

// Immutable and thread-safe.
class Pattern {
 public:
  virtual ~Pattern() = default;

  // Reports every match in `text`, valid UTF-8. Errors: a regular expression that exceeds its
  // budget, and whatever the sink returns.
  virtual Result<void> find(std::string_view text, MatchSink sink) const = 0;
};

// Every occurrence of a literal, from the left, without overlap; an empty one matches nowhere.
std::unique_ptr<Pattern> literal_pattern(std::string_view literal);

// Every run of characters of which `belongs` is true (single characters when not `runs`).
std::unique_ptr<Pattern> class_pattern(bool (*belongs)(char32_t), bool runs);

// A regular expression in Oniguruma's syntax, which tokenizer.json uses. Well-known ones get
// hand-written scanners, all others PCRE2. `place` begins every error. Errors: invalid_input for
// bad syntax, unsupported for syntax that PCRE2 does not share, limit for one that is too long.
Result<std::unique_ptr<Pattern>> regex_pattern(std::string_view expression, std::string_view place);

// The same, always by PCRE2: the yardstick of the hand-written scanners.
Result<std::unique_ptr<Pattern>> pcre2_pattern(std::string_view expression, std::string_view place);

// The hand-written scanner of exactly this expression, or null.
std::unique_ptr<Pattern> known_pattern(std::string_view expression);

// The expressions of well-known pre-tokenizers.
inline constexpr std::string_view kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kDeepSeekDigitsExpression = R"(\p{N}{1,3})";
inline constexpr std::string_view kDeepSeekCjkExpression = "[一-龥぀-ゟ゠-ヿ]+";
inline constexpr std::string_view kDeepSeekExpression =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace lotse
