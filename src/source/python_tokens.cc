#include "source/python_tokens.h"

#include <algorithm>
#include <array>

namespace lotse {
namespace {

constexpr size_t kDeepestNesting = 200;  // of f-strings, replacement fields and specifications

class Lexer {
 public:
  explicit Lexer(std::string_view file) : file_(file) {}

  std::vector<Token> run() {
    if (file_.starts_with("\xef\xbb\xbf")) position_ = 3;
    while (position_ < file_.size()) {
      if (in_literal()) {
        literal();
      } else {
        if (at_line_start_ && !inside_brackets()) indentation();
        if (position_ < file_.size()) code();
      }
    }
    if (line_has_tokens_) add(TokenKind::newline, position_);
    for (; indents_.size() > 1; indents_.pop_back()) add(TokenKind::dedent, position_);
    return std::move(tokens_);
  }

 private:
  // What an f-string nests: its text, a replacement field of it, that field's specification.
  struct Frame {
    enum Kind { text, field, specification } kind;
    char quote = 0;  // of the string, in its fields and specifications too
    bool triple = false;
    bool raw = false;
    size_t brackets = 0;  // open brackets outside a field
  };

  char at(size_t position) const { return position < file_.size() ? file_[position] : '\0'; }

  bool starts(size_t position, std::string_view text) const {
    return file_.substr(std::min(position, file_.size())).starts_with(text);
  }

  size_t newline_size(size_t position) const {
    if (at(position) == '\n') return 1;
    if (at(position) == '\r') return at(position + 1) == '\n' ? 2 : 1;
    return 0;
  }

  bool in_literal() const { return !frames_.empty() && frames_.back().kind != Frame::field; }
  bool inside_brackets() const { return brackets_ > 0 || !frames_.empty(); }

  void add(TokenKind kind, size_t end) {
    tokens_.push_back({kind, static_cast<uint32_t>(position_), static_cast<uint32_t>(end)});
    position_ = end;
  }

  void add_code(TokenKind kind, size_t end) {
    add(kind, end);
    line_has_tokens_ = true;
  }

  // Blank lines and lines of a comment alone do not change the level.
  void indentation() {
    size_t column = 0;
    size_t position = position_;
    for (;; ++position) {
      if (at(position) == ' ') {
        ++column;
      } else if (at(position) == '\t') {
        column = column / 8 * 8 + 8;
      } else if (at(position) == '\f') {
        column = 0;
      } else {
        break;
      }
    }
    at_line_start_ = false;
    position_ = position;
    if (position >= file_.size() || newline_size(position) > 0 || at(position) == '#') return;
    if (column > indents_.back()) {
      indents_.push_back(column);
      add(TokenKind::indent, position_);
    }
    for (; column < indents_.back(); indents_.pop_back()) add(TokenKind::dedent, position_);
  }

  void code() {
    const char c = at(position_);
    if (const size_t size = newline_size(position_); size > 0) {
      end_of_line(size);
    } else if (c == ' ' || c == '\t' || c == '\f') {
      ++position_;
    } else if (c == '\\' && newline_size(position_ + 1) > 0) {
      position_ += 1 + newline_size(position_ + 1);
    } else if (c == '#') {
      size_t end = position_;
      while (end < file_.size() && newline_size(end) == 0) ++end;
      add(TokenKind::comment, end);
    } else if (const size_t prefix = string_prefix(); prefix != std::string_view::npos) {
      string(prefix);
    } else if (begins_name(c)) {
      size_t end = position_ + 1;
      while (continues_name(at(end))) ++end;
      add_code(TokenKind::name, end);
    } else if (is_digit(c) || (c == '.' && is_digit(at(position_ + 1)))) {
      number();
    } else {
      op(c);
    }
  }

  void end_of_line(size_t size) {
    if (inside_brackets() || !line_has_tokens_) {
      position_ += size;
    } else {
      add(TokenKind::newline, position_ + size);
      line_has_tokens_ = false;
    }
    at_line_start_ = true;
  }

  // The size of the prefix of the string that begins here; npos where none begins.
  size_t string_prefix() const {
    size_t size = 0;
    while (size < 3 && is_letter(at(position_ + size))) ++size;
    if (at(position_ + size) != '"' && at(position_ + size) != '\'') return std::string_view::npos;
    std::string prefix(file_.substr(position_, size));
    std::ranges::transform(prefix, prefix.begin(),
                           [](char c) { return static_cast<char>(c | 32); });
    constexpr std::array<std::string_view, 11> kPrefixes = {"",  "r",  "u",  "b", "br", "rb",
                                                            "f", "fr", "rf", "t", "rt"};
    const bool known = prefix == "tr" || std::ranges::find(kPrefixes, prefix) != kPrefixes.end();
    return known ? size : std::string_view::npos;
  }

  void string(size_t prefix) {
    const std::string_view letters = file_.substr(position_, prefix);
    const size_t quote = position_ + prefix;
    const char mark = at(quote);
    const bool triple = at(quote + 1) == mark && at(quote + 2) == mark;
    const size_t open = quote + (triple ? 3 : 1);
    const bool nests = letters.find_first_of("fFtT") != std::string_view::npos;
    if (nests && frames_.size() < kDeepestNesting) {
      const bool raw = letters.find_first_of("rR") != std::string_view::npos;
      frames_.push_back({Frame::text, mark, triple, raw, 0});
      add_code(TokenKind::text_begin, open);
      return;
    }
    size_t end = open;
    while (end < file_.size() && !closes(end, mark, triple)) {
      if (!triple && newline_size(end) > 0) break;
      end += at(end) == '\\' ? 1 + std::max<size_t>(newline_size(end + 1), 1) : 1;
    }
    if (closes(end, mark, triple)) end += triple ? 3 : 1;
    add_code(TokenKind::string, std::min(end, file_.size()));
  }

  bool closes(size_t position, char mark, bool triple) const {
    if (at(position) != mark || position >= file_.size()) return false;
    return !triple || (at(position + 1) == mark && at(position + 2) == mark);
  }

  // Text of an f-string up to its end, a field, or the end of a specification.
  void literal() {
    const Frame frame = frames_.back();
    const bool specification = frame.kind == Frame::specification;
    size_t end = position_;
    while (end < file_.size() && !closes(end, frame.quote, frame.triple)) {
      const char c = at(end);
      if (!frame.triple && newline_size(end) > 0) break;
      if (c == '\\') {
        end = past_escape(end, frame.raw);
      } else if (!specification && (starts(end, "{{") || starts(end, "}}"))) {
        end += 2;
      } else if ((c == '{' && frames_.size() < kDeepestNesting) || (c == '}' && specification)) {
        break;
      } else {
        ++end;
      }
    }
    end = std::min(end, file_.size());
    if (end > position_) add(TokenKind::text, end);
    after_literal(frame, specification);
  }

  size_t past_escape(size_t position, bool raw) const {
    const char next = at(position + 1);
    if (next == '{' || next == '}') return position + 1;
    if (!raw && next == 'N' && at(position + 2) == '{') {
      size_t end = position + 3;
      while (continues_name(at(end)) || at(end) == ' ' || at(end) == '-') ++end;
      if (at(end) == '}') return end + 1;
    }
    return position + 1 + std::max<size_t>(newline_size(position + 1), 1);
  }

  void after_literal(const Frame& frame, bool specification) {
    const char c = at(position_);
    if (position_ >= file_.size()) {
      frames_.clear();
    } else if (closes(position_, frame.quote, frame.triple)) {
      leave_string();
      add(TokenKind::text_end, position_ + (frame.triple ? 3 : 1));
    } else if (c == '{') {
      add(TokenKind::op, position_ + 1);
      frames_.push_back({Frame::field, frame.quote, frame.triple, frame.raw, brackets_});
    } else if (c == '}' && specification) {
      frames_.pop_back();
      leave_field();
      add(TokenKind::op, position_ + 1);
    } else {
      leave_string();  // its line ends first
    }
  }

  void leave_field() {
    brackets_ = frames_.back().brackets;
    frames_.pop_back();
  }

  void leave_string() {
    while (frames_.back().kind != Frame::text) {
      if (frames_.back().kind == Frame::field) brackets_ = frames_.back().brackets;
      frames_.pop_back();
    }
    frames_.pop_back();
  }

  size_t digits(size_t position, bool hexadecimal) const {
    const auto belongs = [&](char c) {
      return is_digit(c) || c == '_' || (hexadecimal && is_letter(c) && (c | 32) <= 'f');
    };
    while (belongs(at(position))) ++position;
    return position;
  }

  void number() {
    size_t end = position_;
    const char base = static_cast<char>(at(end + 1) | 32);
    if (at(end) == '0' && (base == 'x' || base == 'o' || base == 'b')) {
      add_code(TokenKind::number, digits(end + 2, base == 'x'));
      return;
    }
    end = digits(end, false);
    if (at(end) == '.') end = digits(end + 1, false);
    if ((at(end) | 32) == 'e') {
      const size_t sign = at(end + 1) == '+' || at(end + 1) == '-' ? 1 : 0;
      if (is_digit(at(end + 1 + sign))) end = digits(end + 1 + sign, false);
    }
    if ((at(end) | 32) == 'j') ++end;
    add_code(TokenKind::number, end);
  }

  void op(char c) {
    const bool top_of_field = !frames_.empty() && brackets_ == frames_.back().brackets;
    if (top_of_field && c == '}') {
      leave_field();
      add(TokenKind::op, position_ + 1);
    } else if (top_of_field && c == ':') {
      const Frame frame = frames_.back();
      add(TokenKind::op, position_ + 1);
      if (frames_.size() < kDeepestNesting) {
        frames_.push_back({Frame::specification, frame.quote, frame.triple, frame.raw, brackets_});
      }
    } else {
      plain_op(c);
    }
  }

  void plain_op(char c) {
    if (c == '(' || c == '[' || c == '{') ++brackets_;
    const size_t outside = frames_.empty() ? 0 : frames_.back().brackets;
    if ((c == ')' || c == ']' || c == '}') && brackets_ > outside) --brackets_;
    constexpr std::array<std::string_view, 25> kLong = {
        "**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "<=", ">=", "==", "!=",
        "->",  "+=",  "-=",  "*=",  "/=",  "%=", "&=", "|=", "^=", "@=", ":=", "<>"};
    for (const std::string_view text : kLong) {
      if (starts(position_, text)) return add_code(TokenKind::op, position_ + text.size());
    }
    const bool known =
        std::string_view("()[]{}.,:;@=+-*/%&|^~<>!").find(c) != std::string_view::npos;
    add_code(known ? TokenKind::op : TokenKind::stray, position_ + 1);
  }

  std::string_view file_;
  size_t position_ = 0;
  bool at_line_start_ = true;
  bool line_has_tokens_ = false;
  size_t brackets_ = 0;
  std::vector<size_t> indents_ = {0};
  std::vector<Frame> frames_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> python_tokens(std::string_view file) { return Lexer(file).run(); }

}  // namespace lotse
