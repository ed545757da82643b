#include "source/cpp_tokens.h"

namespace lotse {
namespace {

class Lexer {
 public:
  explicit Lexer(std::string_view file) : file_(file) {}

  std::vector<Token> run() {
    while (position_ < file_.size()) step();
    if (in_directive_) add(TokenKind::newline, position_);
    return std::move(tokens_);
  }

 private:
  char at(size_t position) const { return position < file_.size() ? file_[position] : '\0'; }

  bool starts(size_t position, std::string_view text) const {
    return file_.substr(std::min(position, file_.size())).starts_with(text);
  }

  size_t newline_size(size_t position) const {
    if (at(position) == '\n') return 1;
    if (at(position) == '\r') return at(position + 1) == '\n' ? 2 : 1;
    return 0;
  }

  // Where the text goes on after the line continuations at `position`.
  size_t past_splices(size_t position) const {
    while (at(position) == '\\' && newline_size(position + 1) > 0) {
      position += 1 + newline_size(position + 1);
    }
    return position;
  }

  void add(TokenKind kind, size_t end) {
    tokens_.push_back({kind, static_cast<uint32_t>(position_), static_cast<uint32_t>(end)});
    position_ = end;
  }

  void step() {
    const char c = at(position_);
    if (const size_t size = newline_size(position_); size > 0) {
      end_of_line(size);
    } else if (c == ' ' || c == '\t' || c == '\v' || c == '\f') {
      ++position_;
    } else if (past_splices(position_) != position_) {
      position_ = past_splices(position_);
    } else if (c == '/' && next_is('/')) {
      line_comment();
    } else if (c == '/' && next_is('*')) {
      block_comment();
    } else {
      token(c);
      at_line_start_ = false;
    }
  }

  bool next_is(char expected) const { return at(past_splices(position_ + 1)) == expected; }

  void end_of_line(size_t size) {
    if (in_directive_) {
      add(TokenKind::newline, position_ + size);
    } else {
      position_ += size;
    }
    in_directive_ = false;
    in_include_ = false;
    at_line_start_ = true;
  }

  void line_comment() {
    size_t end = position_;
    while (end < file_.size() && newline_size(end) == 0) {
      const size_t next = past_splices(end);
      end = next == end ? end + 1 : next;
    }
    add(TokenKind::comment, end);
  }

  void block_comment() {
    size_t end = past_splices(position_ + 1) + 1;
    while (end < file_.size() && !(at(end) == '*' && at(past_splices(end + 1)) == '/')) ++end;
    add(TokenKind::comment, end < file_.size() ? past_splices(end + 1) + 1 : file_.size());
  }

  void token(char c) {
    if (c == '#' && at_line_start_) {
      in_directive_ = true;
      add(TokenKind::directive, position_ + 1);
    } else if (in_include_ && c == '<') {
      header();
    } else if (const size_t prefix = string_prefix(); prefix != std::string_view::npos) {
      quoted(position_ + prefix);
    } else if (begins_name(c) || c == '$') {
      name();
    } else if (is_digit(c) || (c == '.' && is_digit(at(position_ + 1)))) {
      number();
    } else {
      op(c);
    }
  }

  // The size of what stands before the quote that begins a literal here; npos where none begins.
  size_t string_prefix() const {
    for (const std::string_view prefix : {"", "R", "L", "u", "U", "u8", "LR", "uR", "UR", "u8R"}) {
      const char quote = at(position_ + prefix.size());
      const bool raw = prefix.ends_with('R');
      if (starts(position_, prefix) && (quote == '"' || (quote == '\'' && !raw))) {
        return prefix.size();
      }
    }
    return std::string_view::npos;
  }

  void quoted(size_t quote) {
    const bool raw = quote > position_ && at(quote - 1) == 'R';
    if (raw && raw_string(quote)) return;
    const char closing = at(quote);
    size_t end = quote + 1;
    while (end < file_.size() && at(end) != closing && newline_size(end) == 0) {
      if (at(end) == '\\') {
        const size_t size = newline_size(end + 1);
        end += 1 + (size > 0 ? size : 1);
      } else {
        ++end;
      }
    }
    if (at(end) == closing) ++end;
    add(closing == '"' ? TokenKind::string : TokenKind::character, std::min(end, file_.size()));
  }

  // R"delimiter( … )delimiter": false where what follows R is no such thing.
  bool raw_string(size_t quote) {
    constexpr size_t kLongestDelimiter = 16;
    size_t open = quote + 1;
    while (open - quote - 1 < kLongestDelimiter && at(open) != '\0' &&
           std::string_view("() \\\t\v\f\n\r\"").find(at(open)) == std::string_view::npos) {
      ++open;
    }
    if (at(open) != '(') return false;
    const std::string closing = ")" + std::string(file_.substr(quote + 1, open - quote - 1)) + "\"";
    const size_t end = file_.find(closing, open + 1);
    add(TokenKind::string, end == std::string_view::npos ? file_.size() : end + closing.size());
    return true;
  }

  void header() {
    size_t end = position_ + 1;
    while (end < file_.size() && at(end) != '>' && newline_size(end) == 0) ++end;
    add(TokenKind::header, at(end) == '>' ? end + 1 : end);
    in_include_ = false;
  }

  void name() {
    size_t end = position_ + 1;
    for (size_t next = past_splices(end); continues_name(at(next)) || at(next) == '$';
         next = past_splices(end)) {
      end = next + 1;
    }
    const bool after_hash = !tokens_.empty() && tokens_.back().kind == TokenKind::directive;
    add(TokenKind::name, end);
    if (after_hash) {
      const std::string word = cpp_spelling(file_, tokens_.back());
      in_include_ = word == "include" || word == "include_next" || word == "import";
    }
  }

  // A preprocessing number: 0x1p-3, 1'000, 1e+5, .5f, 12ull.
  void number() {
    size_t end = position_ + 1;
    while (true) {
      const char c = at(end);
      const bool exponent = std::string_view("eEpP").find(at(end - 1)) != std::string_view::npos;
      if (continues_name(c) || c == '.' || ((c == '+' || c == '-') && exponent)) {
        ++end;
      } else if (c == '\'' && continues_name(at(end + 1))) {
        end += 2;
      } else {
        break;
      }
    }
    add(TokenKind::number, std::min(end, file_.size()));
  }

  void op(char c) {
    const bool launch = starts(position_, "<<<") && at(position_ + 3) != '<' &&
                        (position_ == 0 || at(position_ - 1) != '<');
    if (launch) {
      add(TokenKind::op, position_ + 3);
    } else if (starts(position_, "::") || starts(position_, "->")) {
      add(TokenKind::op, position_ + 2);
    } else {
      const bool stray = static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == '`' || c == '@';
      add(stray ? TokenKind::stray : TokenKind::op, position_ + 1);
    }
  }

  std::string_view file_;
  size_t position_ = 0;
  bool at_line_start_ = true;
  bool in_directive_ = false;
  bool in_include_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> cpp_tokens(std::string_view file) { return Lexer(file).run(); }

std::string cpp_spelling(std::string_view file, const Token& token) {
  const std::string_view text = text_of(file, token);
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  std::string spelling;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("\\\r\n")) {
      i += 2;
    } else if (rest.starts_with("\\\n") || rest.starts_with("\\\r")) {
      i += 1;
    } else {
      spelling += text[i];
    }
  }
  return spelling;
}

}  // namespace lotse
