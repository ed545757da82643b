// Regular expressions by PCRE2, for those that have no hand-written scanner. tokenizer.json means
// Oniguruma's Ruby syntax; what it shares with PCRE2 is passed on, the differing escapes are
// rewritten, and what has no counterpart is refused.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <chrono>

#include "tokenizer/pattern.h"
#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

constexpr size_t kMaxExpression = 16384;
constexpr uint32_t kMaxParentheses = 50;
// Steps of one match: a constant and so many for each byte, enough for any linear search.
constexpr size_t kStepsPerMatch = 100000;
constexpr size_t kStepsPerByte = 64;
// Time of all matches of one text together.
constexpr std::chrono::nanoseconds kBaseTime = std::chrono::milliseconds(500);
constexpr std::chrono::nanoseconds kTimePerByte = std::chrono::microseconds(2);

// Rewrites Oniguruma's \s, \S, \w, \W, \h and \H into classes, which PCRE2 defines otherwise, and
// refuses nested classes and intersections, which PCRE2 would silently read as plain characters.
class Translator {
 public:
  Translator(std::string_view expression, std::string_view place)
      : expression_(expression), place_(place) {}

  Result<std::string> run() {
    for (size_t i = 0; i < expression_.size(); ++i) {
      const char c = expression_[i];
      if (c == '\\' && i + 1 < expression_.size()) {
        LOTSE_TRY(escape(expression_[++i]));
      } else if (c == '[' && in_class_ && expression_.substr(i, 2) == "[:") {
        const size_t end = expression_.find(":]", i);
        if (end == std::string_view::npos) return refuse("a class inside a class");
        out_ += expression_.substr(i, end + 2 - i);
        i = end + 1;
      } else if (c == '[' && in_class_) {
        return refuse("a class inside a class");
      } else if (in_class_ && expression_.substr(i, 2) == "&&") {
        return refuse("an intersection of classes (&&)");
      } else {
        if (c == '[') open_class(i);
        if (c == ']' && in_class_) in_class_ = false;
        out_ += expression_[i];
      }
    }
    return std::move(out_);
  }

 private:
  static constexpr std::string_view kSpaces = R"(\x09-\x0d\x{85}\p{Z})";
  static constexpr std::string_view kWords =
      R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
  static constexpr std::string_view kHex = "0-9a-fA-F";

  // Copies `[` or `[^` up to a `]` that stands first and is therefore a plain character; `i` ends
  // on the last character that the caller copies.
  void open_class(size_t& i) {
    in_class_ = true;
    size_t next = i + 1;
    if (expression_.substr(next, 1) == "^") ++next;
    if (expression_.substr(next, 1) == "]") ++next;
    out_ += expression_.substr(i, next - 1 - i);
    i = next - 1;
  }

  Result<void> escape(char c) {
    switch (c) {
      case 's':
        return members(kSpaces, false);
      case 'S':
        return members(kSpaces, true);
      case 'w':
        return members(kWords, false);
      case 'W':
        return members(kWords, true);
      case 'h':
        return members(kHex, false);
      case 'H':
        return members(kHex, true);
      case 'C':
      case 'K':
      case 'Q':
      case 'E':
        return refuse(fmt::format("the escape \\{}", c));
      default:
        out_ += {'\\', c};
        return {};
    }
  }

  Result<void> members(std::string_view set, bool inverted) {
    if (in_class_ && inverted) return refuse("an inverted escape inside a class");
    if (in_class_) {
      out_ += set;
    } else {
      out_ += fmt::format("[{}{}]", inverted ? "^" : "", set);
    }
    return {};
  }

  std::unexpected<Error> refuse(std::string_view what) const {
    return fail(ErrorCode::unsupported,
                "{}: the regular expression \"{}\" has {}, which is not supported", place_,
                shown_briefly(expression_), what);
  }

  std::string_view expression_;
  std::string_view place_;
  std::string out_;
  bool in_class_ = false;
};

struct Freer {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Freer>;

// What PCRE2 needs to match, one a thread for all expressions: their searches do not nest within a
// call of PCRE2, and only the range of the whole match is asked for.
struct MatchScratch {
  Owned<pcre2_match_data> match{pcre2_match_data_create(1, nullptr)};
  Owned<pcre2_match_context> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack> stack{pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr)};

  MatchScratch() {
    if (ready()) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  bool ready() const { return match && context && stack; }
};

std::string describe(int error) {
  unsigned char buffer[160] = {};
  pcre2_get_error_message(error, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

class Pcre2Pattern : public Pattern {
 public:
  Pcre2Pattern(Owned<pcre2_code> code, std::string name)
      : code_(std::move(code)), name_(std::move(name)) {}

  Result<void> find(std::string_view text, MatchSink sink) const override {
    if (text.empty()) return {};
    thread_local const MatchScratch scratch;
    if (!scratch.ready()) return fail(ErrorCode::limit, "{}: out of memory", name_);
    const size_t steps = std::min<size_t>(kStepsPerMatch + kStepsPerByte * text.size(), UINT32_MAX);
    const auto deadline = std::chrono::steady_clock::now() + kBaseTime +
                          kTimePerByte * static_cast<int64_t>(text.size());

    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    size_t last_end = SIZE_MAX;
    int searches = 0;
    for (size_t from = 0; from <= text.size();) {
      if (++searches % 64 == 0 && std::chrono::steady_clock::now() > deadline) {
        return fail(ErrorCode::limit, "{} takes too long on this text", name_);
      }
      // Anew each time: the sink may have run another expression.
      pcre2_set_match_limit(scratch.context.get(), static_cast<uint32_t>(steps));
      const int found = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                    scratch.match.get(), scratch.context.get());
      if (found == PCRE2_ERROR_NOMATCH) return {};
      if (found < 0) {
        return fail(ErrorCode::limit, "{} gives up on this text: {}", name_, describe(found));
      }
      const size_t* range = pcre2_get_ovector_pointer(scratch.match.get());
      const size_t begin = range[0];
      const size_t end = range[1];
      // An empty match right after another is no match; the search goes on one character later.
      if (begin == end && end == last_end) {
        if (from == text.size()) return {};
        next_char(text, from);
        continue;
      }
      LOTSE_TRY(sink(begin, end));
      from = last_end = end;
    }
    return {};
  }

 private:
  Owned<pcre2_code> code_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<Pattern>> pcre2_pattern(std::string_view expression,
                                               std::string_view place) {
  if (expression.size() > kMaxExpression) {
    return fail(ErrorCode::limit, "{}: a regular expression of {} bytes exceeds the limit of {}",
                place, expression.size(), kMaxExpression);
  }
  const std::string translated = LOTSE_TRY(Translator(expression, place).run());
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) return fail(ErrorCode::limit, "{}: out of memory", place);
  pcre2_set_parens_nest_limit(context.get(), kMaxParentheses);
  int error = 0;
  size_t offset = 0;
  Owned<pcre2_code> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get()));
  const std::string name =
      fmt::format("{}: the regular expression \"{}\"", place, shown_briefly(expression));
  if (!code) return fail(ErrorCode::invalid_input, "{} is not valid: {}", name, describe(error));
  // Without a just-in-time compiler for this CPU, PCRE2 interprets.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return std::make_unique<Pcre2Pattern>(std::move(code), name);
}

}  // namespace lotse
