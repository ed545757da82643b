// Hand-written matchers of the well-known pre-tokenizer expressions. Each `…Rule::match` returns
// the end of the match that begins at `i`, or `i` when there is none; the alternatives stand in the
// order of the expression.
#include "base/utf8.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

// Text with its characters' classes.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text), classes_(CharClasses::get()) {}

  size_t size() const { return text_.size(); }
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  std::string_view text() const { return text_; }

  // The class of the character at `i` < size(), and where the next one begins.
  uint8_t char_class(size_t i, size_t& next) const {
    next = i;
    return classes_[next_char(text_, next)];
  }
  // The end of the run of at most `most` characters from `i` whose class meets `wanted` (or, with
  // `inverted`, does not).
  template <bool inverted = false>
  size_t run(size_t i, uint8_t wanted, size_t most = SIZE_MAX) const {
    for (size_t count = 0; i < text_.size() && count < most; ++count) {
      size_t next;
      const bool meets = (char_class(i, next) & wanted) != 0;
      if (meets == inverted) break;
      i = next;
    }
    return i;
  }

  // `\s*[\r\n]+|\s+(?!\S)|\s+`
  size_t white_space(size_t i) const {
    size_t end = i;
    size_t last = i;  // where the last character of the run begins
    size_t after_newline = i;
    while (end < text_.size()) {
      size_t next;
      const uint8_t bits = char_class(end, next);
      if (!(bits & kSpace)) break;
      last = end;
      end = next;
      if (bits & kNewline) after_newline = end;
    }
    if (after_newline > i) return after_newline;
    return end == text_.size() || last == i ? end : last;
  }
  // `\s+(?!\S)|\s+`
  size_t white_space_without_lines(size_t i) const {
    const size_t end = run(i, kSpace);
    if (end == i || end == text_.size()) return end;
    const size_t last = previous_char(text_, end);
    return last == i ? end : last;
  }

 private:
  std::string_view text_;
  const CharClasses& classes_;
};

// `'s|'t|'re|'ve|'m|'ll|'d`, where `fold` (i) ignores case; U+017F folds to s.
template <bool fold>
size_t contraction(const Cursor& text, size_t i) {
  if (text.at(i) != '\'') return i;
  const auto lower = [&](size_t at) {
    const char c = text.at(at);
    return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char first = lower(i + 1);
  const char second = lower(i + 2);
  switch (first) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return i + 2;
    case 'r':
    case 'v':
      return second == 'e' ? i + 3 : i;
    case 'l':
      return second == 'l' ? i + 3 : i;
    default:
      return fold && text.text().substr(i + 1, 2) == "\u017f" ? i + 3 : i;
  }
}

struct Gpt2Rule {
  static size_t match(const Cursor& text, size_t i) {
    const size_t end = contraction<false>(text, i);
    if (end > i) return end;
    const size_t start = text.at(i) == ' ' && i + 1 < text.size() ? i + 1 : i;
    size_t next;
    const uint8_t bits = text.char_class(start, next);
    if (bits & kLetter) return text.run(next, kLetter);
    if (bits & kNumber) return text.run(next, kNumber);
    if (!(bits & kSpace)) return text.run<true>(next, kSpace | kLetter | kNumber);
    return text.white_space_without_lines(i);
  }
};

// Llama 3 and cl100k with up to 3 digits a piece, Qwen 2 with 1.
template <size_t digits>
struct Cl100kRule {
  static size_t match(const Cursor& text, size_t i) {
    const size_t end = contraction<true>(text, i);
    if (end > i) return end;
    size_t next;
    const uint8_t bits = text.char_class(i, next);
    if (bits & kLetter) return text.run(next, kLetter);
    if (bits & kNumber) return text.run(next, kNumber, digits - 1);
    if (!(bits & kNewline) && next < text.size()) {
      size_t after;
      const uint8_t second = text.char_class(next, after);
      if (second & kLetter) return text.run(after, kLetter);
      const bool space = text.at(i) == ' ';
      if (space && !(second & (kSpace | kLetter | kNumber))) return signs(text, after);
    }
    if (!(bits & kSpace)) return signs(text, next);
    return text.white_space(i);
  }

 private:
  static size_t signs(const Cursor& text, size_t i) {
    return text.run(text.run<true>(i, kSpace | kLetter | kNumber), kNewline);
  }
};

struct DeepSeekRule {
  static bool is_ascii_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
  static bool is_ascii_sign(char c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }

  static size_t match(const Cursor& text, size_t i) {
    if (is_ascii_sign(text.at(i)) && is_ascii_letter(text.at(i + 1))) {
      size_t end = i + 2;
      while (is_ascii_letter(text.at(end))) ++end;
      return end;
    }
    size_t next;
    const uint8_t bits = text.char_class(i, next);
    const auto meets = [&](size_t at, uint8_t wanted) {
      size_t ignored;
      return at < text.size() && (text.char_class(at, ignored) & wanted) != 0;
    };
    const bool may_lead = !(bits & (kNewline | kLetter | kPunctuation | kSymbol));
    if (may_lead && meets(next, kLetter | kMark)) return text.run(next, kLetter | kMark);
    if (bits & (kLetter | kMark)) return text.run(next, kLetter | kMark);
    if (bits & (kPunctuation | kSymbol)) return signs(text, next);
    if (text.at(i) == ' ' && meets(next, kPunctuation | kSymbol)) return signs(text, next);
    return bits & kSpace ? text.white_space(i) : i;
  }

 private:
  static size_t signs(const Cursor& text, size_t i) {
    return text.run(text.run(i, kPunctuation | kSymbol), kNewline);
  }
};

struct DigitsRule {
  static size_t match(const Cursor& text, size_t i) { return text.run(i, kNumber, 3); }
};

struct CjkRule {
  static size_t match(const Cursor& text, size_t i) {
    while (i < text.size()) {
      size_t next = i;
      const char32_t c = next_char(text.text(), next);
      if (!((c >= U'一' && c <= U'龥') || (c >= U'\u3040' && c <= U'ヿ'))) break;
      i = next;
    }
    return i;
  }
};

template <class Rule>
class Scanner : public Pattern {
 public:
  Result<void> find(std::string_view text, MatchSink sink) const override {
    const Cursor cursor(text);
    for (size_t i = 0; i < text.size();) {
      const size_t end = Rule::match(cursor, i);
      if (end > i) {
        LOTSE_TRY(sink(i, end));
        i = end;
      } else {
        next_char(text, i);
      }
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Pattern> known_pattern(std::string_view expression) {
  // How tiktoken writes Llama 3's.
  constexpr std::string_view kTiktokenCl100k =
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
  if (expression == kGpt2Expression) return std::make_unique<Scanner<Gpt2Rule>>();
  if (expression == kLlama3Expression || expression == kTiktokenCl100k) {
    return std::make_unique<Scanner<Cl100kRule<3>>>();
  }
  if (expression == kQwen2Expression) return std::make_unique<Scanner<Cl100kRule<1>>>();
  if (expression == kDeepSeekDigitsExpression) return std::make_unique<Scanner<DigitsRule>>();
  if (expression == kDeepSeekCjkExpression) return std::make_unique<Scanner<CjkRule>>();
  if (expression == kDeepSeekExpression) return std::make_unique<Scanner<DeepSeekRule>>();
  return nullptr;
}

}  // namespace lotse
