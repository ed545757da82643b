// Grammars in EBNF: GBNF as llama.cpp and XGrammar read it ("::="), and Lark without imports (":").
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/utf8.h"
#include "engine/grammar/dfa.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/network.h"
#include "engine/grammar/regex_syntax.h"

namespace lotse {
namespace {

using Kind = Expression::Kind;

constexpr int kMaxNesting = 100;
constexpr int64_t kMaxRepeat = 10'000;
constexpr int kMaxQuantifiers = 4;
constexpr int kMaxInlining = 40;

struct Rule {
  std::string name;
  std::optional<Expression> body;
  size_t first_use = 0;
};

class EbnfParser {
 public:
  explicit EbnfParser(std::string_view text)
      : text_(text), lark_(text.find("::=") == std::string_view::npos) {}

  Result<std::vector<Rule>> parse() {
    skip();
    while (at_ < text_.size()) {
      if (lark_ && text_[at_] == '%') {
        return problem(ErrorCode::unsupported,
                       "the directive {} is not supported: write the terminals as rules and the "
                       "spaces where they may stand",
                       text_.substr(at_, text_.find_first_of(" \n", at_) - at_));
      }
      LOTSE_TRY(rule());
      skip();
    }
    for (const Rule& rule : rules_) {
      if (!rule.body) {
        at_ = rule.first_use;
        return problem(ErrorCode::invalid_input, "the rule \"{}\" is not defined", rule.name);
      }
    }
    return std::move(rules_);
  }

  Result<int32_t> root() const {
    const std::string name = lark_ ? "start" : "root";
    const auto found = numbers_.find(name);
    if (found != numbers_.end()) return found->second;
    return fail(ErrorCode::invalid_input, "grammar: there is no rule \"{}\" to begin with", name);
  }

 private:
  template <class... Args>
  std::unexpected<Error> problem(ErrorCode code, fmt::format_string<Args...> format,
                                 Args&&... args) const {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n';
    }
    return fail(code, "grammar, line {}, column {}: {}", line, column,
                fmt::format(format, std::forward<Args>(args)...));
  }
  std::unexpected<Error> wrong(std::string_view what) const {
    return problem(ErrorCode::invalid_input, "{}", what);
  }

  bool next_is(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool take(std::string_view what) {
    if (!next_is(what)) return false;
    at_ += what.size();
    return true;
  }
  // Spaces, line ends and comments.
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool comment = lark_ ? next_is("//") || c == '#' : c == '#';
      if (comment) {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool name_follows() const {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_];
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  }
  std::string take_name() {
    const size_t begin = at_;
    const auto belongs = [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || (c == '-' && !lark_);
    };
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  // The sign between a rule's name and its body.
  bool take_definition() {
    if (!lark_) return take("::=");
    if (take(".")) number();  // a priority
    skip();
    return take(":");
  }
  bool definition_follows() {
    const size_t before = at_;
    if (lark_ && (next_is("?") || next_is("!"))) ++at_;
    bool result = false;
    if (name_follows()) {
      take_name();
      skip();
      result = take_definition();
    }
    at_ = before;
    return result;
  }

  int32_t number_of(const std::string& name, size_t use) {
    const auto [place, is_new] = numbers_.try_emplace(name, static_cast<int32_t>(rules_.size()));
    if (is_new) rules_.push_back({name, std::nullopt, use});
    return place->second;
  }

  Result<void> rule() {
    if (lark_ && (next_is("?") || next_is("!"))) ++at_;
    if (!name_follows()) return wrong("expected the name of a rule");
    const size_t begin = at_;
    const std::string name = take_name();
    skip();
    if (!take_definition()) {
      return problem(ErrorCode::invalid_input, "expected \"{}\" after the name \"{}\"",
                     lark_ ? ":" : "::=", name);
    }
    Expression body = LOTSE_TRY(alternation(0));
    take(";");
    const auto number = static_cast<size_t>(number_of(name, begin));
    if (rules_[number].body) {
      at_ = begin;
      return problem(ErrorCode::invalid_input, "the rule \"{}\" is defined twice", name);
    }
    rules_[number].body = std::move(body);
    return {};
  }

  Result<Expression> alternation(int depth) {
    if (depth > kMaxNesting) {
      return problem(ErrorCode::limit, "groups nested deeper than {}", kMaxNesting);
    }
    Expression result = Expression::of(Kind::alternation);
    skip();
    take("|");  // some write one before the first alternative, too
    do {
      result.parts.push_back(LOTSE_TRY(sequence(depth)));
    } while (take("|"));
    return result.parts.size() == 1 ? std::move(result.parts[0]) : std::move(result);
  }

  bool sequence_ends() {
    if (at_ >= text_.size()) return true;
    const char c = text_[at_];
    return c == '|' || c == ')' || c == ';' || (lark_ && (c == ']' || c == '%')) ||
           definition_follows();
  }

  Result<Expression> sequence(int depth) {
    Expression result;
    skip();
    while (!sequence_ends()) {
      if (lark_ && take("->")) {
        skip();
        take_name();
        skip();
        continue;
      }
      Expression item = LOTSE_TRY(atom(depth));
      result.parts.push_back(LOTSE_TRY(quantified(std::move(item))));
      skip();
    }
    return result;
  }

  Result<Expression> quantified(Expression item) {
    for (int count = 0;; ++count) {
      skip();
      int64_t min = 0;
      int64_t max = Expression::kUnbounded;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (next_is("?") && !(lark_ && definition_follows())) {
        ++at_;
        max = 1;
      } else if (!lark_ && take("{")) {
        LOTSE_TRY(bounds(min, max, ","));
        if (!take("}")) return wrong("a \"{\" without \"}\"");
      } else if (lark_ && take("~")) {
        LOTSE_TRY(bounds(min, max, ".."));
      } else {
        return item;
      }
      if (count == kMaxQuantifiers) return wrong("too many quantifiers in a row");
      item = Expression::repeat(std::move(item), min, max);
    }
  }

  Result<void> bounds(int64_t& min, int64_t& max, std::string_view separator) {
    skip();
    const auto low = number();
    skip();
    min = low.value_or(0);
    max = min;
    if (take(separator)) {
      skip();
      max = number().value_or(Expression::kUnbounded);
      skip();
    } else if (!low) {
      return wrong("expected a number of repetitions");
    }
    if (min > kMaxRepeat || max > kMaxRepeat) {
      return problem(ErrorCode::limit, "more than {} repetitions", kMaxRepeat);
    }
    if (max != Expression::kUnbounded && max < min) {
      return wrong("the repetitions' upper bound is below the lower one");
    }
    return {};
  }

  std::optional<int64_t> number() {
    if (at_ >= text_.size() || text_[at_] < '0' || text_[at_] > '9') return std::nullopt;
    int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = std::min(value * 10 + (text_[at_++] - '0'), kMaxRepeat + 1);
    }
    return value;
  }

  Result<Expression> atom(int depth) {
    if (take("(")) {
      Expression inner = LOTSE_TRY(alternation(depth + 1));
      if (!take(")")) return wrong("a \"(\" without \")\"");
      return inner;
    }
    if (lark_ && take("[")) {
      Expression inner = LOTSE_TRY(alternation(depth + 1));
      if (!take("]")) return wrong("a \"[\" without \"]\"");
      return Expression::repeat(std::move(inner), 0, 1);
    }
    if (take("[")) return char_class();
    if (next_is("\"") || (!lark_ && next_is("'"))) return literal();
    if (lark_ && take("/")) return regex();
    if (!lark_ && take(".")) return Expression::of(CodePointSet::all());
    if (name_follows()) {
      const size_t begin = at_;
      Expression call = Expression::of(Kind::call);
      call.rule = number_of(take_name(), begin);
      return call;
    }
    if (!lark_ && next_is("<")) {
      return problem(ErrorCode::unsupported, "tokens (<…>) are not supported in grammars");
    }
    return wrong("expected a literal, a class, a group or the name of a rule");
  }

  Result<Expression> literal() {
    const char quote = text_[at_++];
    Expression result;
    while (true) {
      if (at_ >= text_.size() || text_[at_] == '\n') return wrong("a literal without its end");
      if (text_[at_] == quote) break;
      const char32_t c = LOTSE_TRY(character());
      result.parts.push_back(Expression::of(CodePointSet{{c, c}}));
    }
    ++at_;
    if (lark_ && next_is("..")) return range(result);
    if (lark_ && take("i")) {
      for (Expression& part : result.parts) part.set = part.set.with_both_cases();
    }
    return result;
  }

  // Lark's "a".."z".
  Result<Expression> range(const Expression& first) {
    at_ += 2;
    if (!next_is("\"")) return wrong("expected a literal after \"..\"");
    const Expression last = LOTSE_TRY(literal());
    if (first.parts.size() != 1 || last.parts.size() != 1) {
      return wrong("both ends of a range must be one character");
    }
    const char32_t low = first.parts[0].set.ranges()[0].low;
    const char32_t high = last.parts[0].set.ranges()[0].low;
    if (high < low) return wrong("a range in the wrong order");
    return Expression::of(CodePointSet{{low, high}});
  }

  Result<char32_t> character() {
    if (!take("\\")) {
      const Utf8Char c = decode_utf8(text_, at_);
      at_ += static_cast<size_t>(c.length);
      return c.code_point;
    }
    if (at_ >= text_.size()) return wrong("a backslash at the end");
    const char c = text_[at_++];
    static constexpr std::string_view kLetters = "ntrfvab0";
    static constexpr std::string_view kMeanings("\n\t\r\f\v\a\b\0", 8);
    if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
      return static_cast<char32_t>(kMeanings[i]);
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return static_cast<char32_t>(static_cast<unsigned char>(c));
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const size_t digit =
          at_ < text_.size() ? std::string_view("0123456789abcdefABCDEF").find(text_[at_]) : 99;
      if (digit > 22) return wrong("not a hexadecimal code point");
      value = value * 16 + static_cast<uint32_t>(digit > 15 ? digit - 6 : digit);
      ++at_;
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
      return wrong("not a Unicode code point");
    }
    return char32_t{value};
  }

  Result<Expression> char_class() {
    const bool inverted = take("^");
    CodePointSet set;
    while (!take("]")) {
      if (at_ >= text_.size()) return wrong("a \"[\" without \"]\"");
      static constexpr std::pair<std::string_view, std::string_view> kClasses[] = {
          {"\\d", "\\d"}, {"\\w", "\\w"}, {"\\s", "\\s"}};
      bool is_class = false;
      for (const auto& [written, meaning] : kClasses) {
        if (!take(written)) continue;
        set.add(LOTSE_TRY(parse_regex(meaning, RegexDialect::pcre)).parts[0].set);
        is_class = true;
      }
      if (is_class) continue;
      const char32_t low = LOTSE_TRY(character());
      char32_t high = low;
      if (next_is("-") && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        high = LOTSE_TRY(character());
      }
      if (high < low) return wrong("a range in the wrong order");
      set.add(low, high);
    }
    return Expression::of(inverted ? set.inverted() : set);
  }

  Result<Expression> regex() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '/' && text_[at_] != '\n') {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    if (at_ >= text_.size() || text_[at_] != '/') return wrong("a \"/\" without its end");
    std::string pattern(text_.substr(begin, at_ - begin));
    for (size_t i = 0; (i = pattern.find("\\/", i)) != std::string::npos;) pattern.erase(i, 1);
    auto parsed = parse_regex(pattern, RegexDialect::pcre);
    if (!parsed) return problem(parsed.error().code, "{}", parsed.error().message);
    ++at_;
    if (name_follows()) {
      return problem(ErrorCode::unsupported, "flags of regular expressions are not supported");
    }
    if (has_anchor(*parsed)) {
      return problem(ErrorCode::unsupported, "^ and $ are not supported inside grammars");
    }
    return *std::move(parsed);
  }

  static bool has_anchor(const Expression& e) {
    return e.kind == Kind::begin || e.kind == Kind::end || std::ranges::any_of(e.parts, has_anchor);
  }

  std::string_view text_;
  bool lark_;
  size_t at_ = 0;
  std::vector<Rule> rules_;
  std::map<std::string, int32_t> numbers_;
};

// Writes rules into a network. Whatever is regular becomes a deterministic automaton, with the
// rules that it calls inside; only what is recursive stays a call.
class EbnfWriter {
 public:
  explicit EbnfWriter(std::vector<Rule> rules) : rules_(std::move(rules)) {}

  Result<Network> write(int32_t root) {
    find_heights();
    // Rule 0 of a network is where it begins.
    network_rule(root);
    for (size_t i = 0; i < queue_.size() && !builder_.full(); ++i) {
      const Rule& rule = rules_[static_cast<size_t>(queue_[i])];
      const int32_t number = network_rule(queue_[i]);
      write(*rule.body, builder_.start(number), builder_.end(number));
    }
    return builder_.finish();
  }

 private:
  static constexpr int kRecursive = 1 << 20;

  // How many calls deep each rule is; kRecursive when it reaches a cycle.
  void find_heights() {
    std::vector<std::set<int32_t>> calls(rules_.size());
    std::vector<std::vector<int32_t>> callers(rules_.size());
    std::vector<size_t> open(rules_.size());
    for (size_t r = 0; r < rules_.size(); ++r) {
      collect_calls(*rules_[r].body, calls[r]);
      open[r] = calls[r].size();
      for (const int32_t c : calls[r]) {
        callers[static_cast<size_t>(c)].push_back(static_cast<int32_t>(r));
      }
    }
    heights_.assign(rules_.size(), kRecursive);
    std::vector<int32_t> work;
    for (size_t r = 0; r < rules_.size(); ++r) {
      if (open[r] == 0) work.push_back(static_cast<int32_t>(r));
    }
    while (!work.empty()) {
      const auto rule = static_cast<size_t>(work.back());
      work.pop_back();
      int height = 0;
      for (const int32_t c : calls[rule]) {
        height = std::max(height, heights_[static_cast<size_t>(c)] + 1);
      }
      heights_[rule] = height;
      for (const int32_t caller : callers[rule]) {
        if (--open[static_cast<size_t>(caller)] == 0) work.push_back(caller);
      }
    }
  }

  static void collect_calls(const Expression& e, std::set<int32_t>& calls) {
    if (e.kind == Kind::call) calls.insert(e.rule);
    for (const Expression& part : e.parts) collect_calls(part, calls);
  }

  bool is_regular(const Expression& e) const {
    if (e.kind == Kind::call) return heights_[static_cast<size_t>(e.rule)] < kMaxInlining;
    return std::ranges::all_of(e.parts, [&](const Expression& part) { return is_regular(part); });
  }

  int32_t network_rule(int32_t rule) {
    const auto [place, is_new] = network_rules_.try_emplace(rule, 0);
    if (is_new) {
      place->second =
          builder_.add_rule(fmt::format("rule \"{}\"", rules_[static_cast<size_t>(rule)].name));
      queue_.push_back(rule);
    }
    return place->second;
  }

  bool write_dfa(const Expression& e, int32_t from, int32_t to) {
    const auto dfa = to_dfa(e, RegexMatch::whole, budget_, [&](int32_t rule) -> const Expression& {
      return *rules_[static_cast<size_t>(rule)].body;
    });
    if (dfa) add_dfa(builder_, from, *dfa, to, TextForm::plain);
    return dfa.has_value();
  }

  void write(const Expression& e, int32_t from, int32_t to) {
    if (builder_.full() || (is_regular(e) && write_dfa(e, from, to))) return;
    switch (e.kind) {
      case Kind::set:
        return builder_.add_code_points(from, e.set, to);
      case Kind::sequence:
        return write_sequence(e, from, to);
      case Kind::alternation:
        for (const Expression& part : e.parts) {
          const int32_t start = builder_.add_state();
          const int32_t end = builder_.add_state();
          builder_.add_jump(from, start);
          write(part, start, end);
          builder_.add_jump(end, to);
        }
        return;
      case Kind::repeat:
        return write_repeat(e, from, to);
      case Kind::call:
        return builder_.add_call(from, network_rule(e.rule), to);
      case Kind::begin:
      case Kind::end:
        return builder_.add_jump(from, to);
    }
  }

  // Neighbours that are regular are written as one.
  void write_sequence(const Expression& e, int32_t from, int32_t to) {
    Expression regular;
    const auto flush = [&] {
      if (regular.parts.empty()) return;
      const int32_t next = builder_.add_state();
      if (!write_dfa(regular, from, next)) {
        int32_t at = from;
        for (const Expression& part : regular.parts) {
          const int32_t after = builder_.add_state();
          write(part, at, after);
          at = after;
        }
        builder_.add_jump(at, next);
      }
      from = next;
      regular.parts.clear();
    };
    for (const Expression& part : e.parts) {
      if (is_regular(part)) {
        regular.parts.push_back(part);
        continue;
      }
      flush();
      const int32_t next = builder_.add_state();
      write(part, from, next);
      from = next;
    }
    flush();
    builder_.add_jump(from, to);
  }

  void write_repeat(const Expression& e, int32_t from, int32_t to) {
    for (int64_t i = 0; i < e.min && !builder_.full(); ++i) {
      const int32_t next = builder_.add_state();
      write(e.parts[0], from, next);
      from = next;
    }
    if (e.max == Expression::kUnbounded) {
      const int32_t loop = builder_.add_state();
      const int32_t body = builder_.add_state();
      builder_.add_jump(from, loop);
      builder_.add_jump(loop, body);
      write(e.parts[0], body, loop);
      return builder_.add_jump(loop, to);
    }
    for (int64_t i = e.min; i < e.max && !builder_.full(); ++i) {
      const int32_t body = builder_.add_state();
      const int32_t next = builder_.add_state();
      builder_.add_jump(from, to);
      builder_.add_jump(from, body);
      write(e.parts[0], body, next);
      from = next;
    }
    builder_.add_jump(from, to);
  }

  std::vector<Rule> rules_;
  std::vector<int> heights_;
  NetworkBuilder builder_;
  DfaBudget budget_;
  std::map<int32_t, int32_t> network_rules_;
  std::vector<int32_t> queue_;
};

}  // namespace

Result<Grammar> Grammar::ebnf(std::string_view grammar) {
  if (grammar.size() > kMaxSourceBytes) {
    return fail(ErrorCode::limit, "grammar: {} bytes, at most {} are allowed", grammar.size(),
                kMaxSourceBytes);
  }
  if (!is_valid_utf8(grammar)) return fail(ErrorCode::invalid_input, "grammar: not valid UTF-8");
  EbnfParser parser(grammar);
  std::vector<Rule> rules = LOTSE_TRY(parser.parse());
  const int32_t root = LOTSE_TRY(parser.root());
  auto network = EbnfWriter(std::move(rules)).write(root);
  if (!network) return fail(network.error().code, "grammar: {}", network.error().message);
  return Grammar(*std::move(network));
}

}  // namespace lotse
