#include "engine/grammar/regex_syntax.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"

namespace lotse {
namespace {

using Kind = Expression::Kind;

constexpr int kMaxNesting = 100;
constexpr int64_t kMaxRepeat = 100'000;

const CodePointSet kDigits = {{'0', '9'}};
const CodePointSet kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CodePointSet kAsciiSpaces = {{'\t', '\r'}, {' ', ' '}};
const CodePointSet kEcmaSpaces = {
    {'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

class RegexParser {
 public:
  RegexParser(std::string_view text, RegexDialect dialect) : text_(text), dialect_(dialect) {}

  Result<Expression> parse() {
    if (!is_valid_utf8(text_)) {
      return fail(ErrorCode::invalid_input, "regular expression: not valid UTF-8");
    }
    Expression result = LOTSE_TRY(alternation(0));
    if (at_ < text_.size()) return wrong("a \")\" without \"(\"");
    return result;
  }

 private:
  template <class... Args>
  std::unexpected<Error> problem(ErrorCode code, fmt::format_string<Args...> format,
                                 Args&&... args) const {
    return fail(code, "regular expression, position {}: {}", at_,
                fmt::format(format, std::forward<Args>(args)...));
  }
  std::unexpected<Error> wrong(std::string_view what) const {
    return problem(ErrorCode::invalid_input, "{}", what);
  }
  std::unexpected<Error> unsupported(std::string_view what) const {
    return problem(ErrorCode::unsupported,
                   "{} is not supported; literals, classes, groups, \"|\", quantifiers and the "
                   "anchors ^ and $ are",
                   what);
  }

  bool done() const { return at_ >= text_.size(); }
  bool next_is(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool take(std::string_view what) {
    if (!next_is(what)) return false;
    at_ += what.size();
    return true;
  }
  char32_t take_char() {
    const Utf8Char c = decode_utf8(text_, at_);
    at_ += static_cast<size_t>(c.length);
    return c.code_point;
  }

  Result<Expression> alternation(int depth) {
    if (depth > kMaxNesting) {
      return problem(ErrorCode::limit, "groups nested deeper than {}", kMaxNesting);
    }
    Expression result = Expression::of(Kind::alternation);
    do {
      result.parts.push_back(LOTSE_TRY(sequence(depth)));
    } while (take("|"));
    return result.parts.size() == 1 ? std::move(result.parts[0]) : std::move(result);
  }

  Result<Expression> sequence(int depth) {
    Expression result;
    while (!done() && !next_is("|") && !next_is(")")) {
      Expression item = LOTSE_TRY(atom(depth));
      result.parts.push_back(LOTSE_TRY(quantified(std::move(item))));
    }
    return result;
  }

  Result<Expression> quantified(Expression item) {
    bool repeated = false;
    while (!done()) {
      int64_t min = 0;
      int64_t max = Expression::kUnbounded;
      const size_t before = at_;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (take("?")) {
        max = 1;
      } else if (!next_is("{") || !LOTSE_TRY(braces(min, max))) {
        break;
      }
      if (repeated || item.kind == Kind::begin || item.kind == Kind::end) {
        at_ = before;
        return wrong("nothing to repeat");
      }
      repeated = true;
      if (next_is("+")) return unsupported("a possessive quantifier");
      take("?");  // a lazy quantifier matches the same texts
      item = Expression::repeat(std::move(item), min, max);
    }
    return item;
  }

  // {m}, {m,} or {m,n}; anything else is the character "{".
  Result<bool> braces(int64_t& min, int64_t& max) {
    const size_t before = at_;
    ++at_;
    const auto low = number();
    std::optional<int64_t> high = low;
    if (low && take(",")) high = number();
    if (!low || !take("}")) {
      at_ = before;
      return false;
    }
    const bool open = text_[at_ - 2] == ',';
    if (*low > kMaxRepeat || (!open && *high > kMaxRepeat)) {
      return problem(ErrorCode::limit, "more than {} repetitions", kMaxRepeat);
    }
    if (!open && *high < *low) return wrong("{m,n} with n below m");
    min = *low;
    max = open ? Expression::kUnbounded : *high;
    return true;
  }

  std::optional<int64_t> number() {
    if (done() || text_[at_] < '0' || text_[at_] > '9') return std::nullopt;
    int64_t value = 0;
    while (!done() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = std::min(value * 10 + (text_[at_++] - '0'), kMaxRepeat + 1);
    }
    return value;
  }

  Result<Expression> atom(int depth) {
    if (take("(")) return group(depth);
    if (take("[")) return Expression::of(LOTSE_TRY(char_class()));
    if (take(".")) {
      const CodePointSet ends = dialect_ == RegexDialect::pcre
                                    ? CodePointSet{{'\n', '\n'}}
                                    : CodePointSet{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
      return Expression::of(ends.inverted());
    }
    if (take("^") || take("\\A")) return Expression::of(Kind::begin);
    if (take("$") || take("\\z") || take("\\Z")) return Expression::of(Kind::end);
    if (next_is("*") || next_is("+") || next_is("?")) return wrong("nothing to repeat");
    if (take("\\")) {
      if (next_is("b") || next_is("B")) return unsupported("a word boundary");
      return Expression::of(LOTSE_TRY(escape()));
    }
    const char32_t c = take_char();
    return Expression::of(CodePointSet{{c, c}});
  }

  Result<Expression> group(int depth) {
    if (take("?")) {
      const bool look_around = next_is("=") || next_is("!") || next_is("<=") || next_is("<!");
      if (look_around) return unsupported("look-around");
      if (take("P<") || take("<")) {
        while (!done() && text_[at_] != '>') ++at_;
        if (!take(">")) return wrong("a group's name without \">\"");
      } else if (!take(":")) {
        return unsupported("this kind of group (a flag, an atomic group or a condition)");
      }
    }
    Expression inner = LOTSE_TRY(alternation(depth + 1));
    if (!take(")")) return wrong("a \"(\" without \")\"");
    return inner;
  }

  Result<CodePointSet> char_class() {
    const bool inverted = take("^");
    CodePointSet set;
    bool first = dialect_ == RegexDialect::pcre;  // there, "]" may stand first
    while (first || !next_is("]")) {
      first = false;
      if (done()) return wrong("a \"[\" without \"]\"");
      if (next_is("[:")) return unsupported("a POSIX class");
      const auto [low, is_char] = LOTSE_TRY(class_item());
      const bool range = is_char && next_is("-") && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!range) {
        set.add(low);
        continue;
      }
      ++at_;
      const auto [high, is_also_char] = LOTSE_TRY(class_item());
      if (!is_also_char) return wrong("a range that ends in a class");
      const char32_t from = low.ranges()[0].low;
      const char32_t to = high.ranges()[0].low;
      if (to < from) return wrong("a range in the wrong order");
      set.add(from, to);
    }
    ++at_;
    return inverted ? set.inverted() : set;
  }

  struct ClassItem {
    CodePointSet set;
    bool is_char;
  };
  Result<ClassItem> class_item() {
    if (!take("\\")) {
      const char32_t c = take_char();
      return ClassItem{{{c, c}}, true};
    }
    if (take("b")) return ClassItem{{{'\b', '\b'}}, true};
    CodePointSet set = LOTSE_TRY(escape());
    const bool one = set.ranges().size() == 1 && set.ranges()[0].low == set.ranges()[0].high;
    return ClassItem{std::move(set), one};
  }

  // After the backslash.
  Result<CodePointSet> escape() {
    if (done()) return wrong("a backslash at the end");
    const CodePointSet& spaces = dialect_ == RegexDialect::pcre ? kAsciiSpaces : kEcmaSpaces;
    const char32_t c = take_char();
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return kDigits.inverted();
      case 'w':
        return kWord;
      case 'W':
        return kWord.inverted();
      case 's':
        return spaces;
      case 'S':
        return spaces.inverted();
      case 'p':
        return property(false);
      case 'P':
        return property(true);
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      case 't':
        return single('\t');
      case 'n':
        return single('\n');
      case 'r':
        return single('\r');
      case 'f':
        return single('\f');
      case 'v':
        return single('\v');
      case 'a':
        return single('\a');
      default:
        break;
    }
    if (c == '0' && (done() || text_[at_] < '0' || text_[at_] > '9')) return single(0);
    if (c >= '0' && c <= '9') return unsupported("a back reference");
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) return unsupported(fmt::format("the escape \\{}", static_cast<char>(c)));
    return single(c);
  }

  static CodePointSet single(char32_t c) { return {{c, c}}; }

  Result<CodePointSet> hexadecimal(size_t digits) {
    const bool braces = take("{");
    char32_t value = 0;
    size_t count = 0;
    const size_t most = braces ? 6 : digits;
    for (; count < most && !done() && is_hex(text_[at_]); ++count) {
      value = value * 16 + hex_value(text_[at_++]);
    }
    const bool complete = braces ? count > 0 && take("}") : count == digits;
    if (!complete || value > 0x10ffff) return wrong("not a hexadecimal code point");
    const bool high = value >= 0xd800 && value < 0xdc00;
    if (high && take("\\u")) {
      const CodePointSet low = LOTSE_TRY(low_surrogate());
      const char32_t second = low.ranges()[0].low;
      return single(0x10000 + ((value - 0xd800) << 10) + second);
    }
    if (value >= 0xd800 && value <= 0xdfff) return unsupported("a lone surrogate");
    return single(value);
  }

  // The lower ten bits of the second half of a pair, as a set of one.
  Result<CodePointSet> low_surrogate() {
    char32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      if (done() || !is_hex(text_[at_])) return wrong("not a hexadecimal code point");
      value = value * 16 + hex_value(text_[at_++]);
    }
    if (value < 0xdc00 || value > 0xdfff) return unsupported("a lone surrogate");
    return single(value - 0xdc00);
  }

  static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  }
  static char32_t hex_value(char c) {
    return static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }

  Result<CodePointSet> property(bool inverted) {
    std::string_view name;
    if (take("{")) {
      const size_t end = text_.find('}', at_);
      if (end == std::string_view::npos) return wrong("\\p{ without \"}\"");
      name = text_.substr(at_, end - at_);
      at_ = end + 1;
    } else if (!done()) {
      name = text_.substr(at_++, 1);
    }
    static constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {
        {"Letter", "L"}, {"Number", "N"}, {"Punctuation", "P"}, {"Symbol", "S"}};
    for (const auto& [full, abbreviation] : kLongNames) {
      if (name == full) name = abbreviation;
    }
    const auto set = unicode_category(name);
    if (!set) return unsupported(fmt::format("the property \\p{{{}}}", name));
    return inverted ? set->inverted() : *set;
  }

  std::string_view text_;
  RegexDialect dialect_;
  size_t at_ = 0;
};

}  // namespace

Result<Expression> parse_regex(std::string_view pattern, RegexDialect dialect) {
  return RegexParser(pattern, dialect).parse();
}

}  // namespace lotse
