#include "tokenizer/pattern.h"

#include "tokenizer/unicode.h"

namespace lotse {
namespace {

class LiteralPattern : public Pattern {
 public:
  explicit LiteralPattern(std::string_view literal) : literal_(literal) {}

  Result<void> find(std::string_view text, MatchSink sink) const override {
    if (literal_.empty()) return {};
    for (size_t at = text.find(literal_); at != std::string_view::npos;) {
      LOTSE_TRY(sink(at, at + literal_.size()));
      at = text.find(literal_, at + literal_.size());
    }
    return {};
  }

 private:
  std::string literal_;
};

class ClassPattern : public Pattern {
 public:
  ClassPattern(bool (*belongs)(char32_t), bool runs) : belongs_(belongs), runs_(runs) {}

  Result<void> find(std::string_view text, MatchSink sink) const override {
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      if (!belongs_(next_char(text, i))) continue;
      size_t end = i;
      while (runs_ && i < text.size() && belongs_(next_char(text, i))) end = i;
      i = end;
      LOTSE_TRY(sink(begin, end));
    }
    return {};
  }

 private:
  bool (*belongs_)(char32_t);
  bool runs_;
};

}  // namespace

std::unique_ptr<Pattern> literal_pattern(std::string_view literal) {
  return std::make_unique<LiteralPattern>(literal);
}

std::unique_ptr<Pattern> class_pattern(bool (*belongs)(char32_t), bool runs) {
  return std::make_unique<ClassPattern>(belongs, runs);
}

Result<std::unique_ptr<Pattern>> regex_pattern(std::string_view expression,
                                               std::string_view place) {
  if (auto known = known_pattern(expression)) return known;
  return pcre2_pattern(expression, place);
}

}  // namespace lotse
