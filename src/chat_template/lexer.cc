#include "chat_template/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "base/utf8.h"
#include "chat_template/string_literal.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

constexpr size_t npos = std::string_view::npos;
// Longer ones first, so that the longest matches.
constexpr std::array<std::string_view, 27> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]",
    "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";", ""};

// Line ends become "\n", and one line end at the end of the template is dropped.
std::string normalize_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) LOTSE_TRY(lex_root());
    push(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  struct Opening {
    size_t begin;  // of the tag
    size_t end;    // behind the tag and its white-space sign
    char kind;     // '{' variable, '%' block, '#' comment, 'r' raw block
    char sign;     // '-', '+' or 0
  };

  std::string_view rest() const { return source_.substr(position_); }
  bool at(std::string_view text) const { return rest().starts_with(text); }

  template <class... Args>
  std::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_input, "line {}: {}", line_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  void push(TokenKind kind, std::string_view text) {
    tokens_.push_back({kind, line_, std::string(text)});
  }

  // Moves on to `end`, counting lines.
  void advance(size_t end) {
    const std::string_view passed = source_.substr(position_, end - position_);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    if (!passed.empty()) line_starting_ = passed.back() == '\n';
    position_ = end;
  }

  Opening opening_at(size_t begin) const {
    Opening tag{begin, begin + 2, source_[begin + 1], 0};
    if (tag.end < source_.size() && (source_[tag.end] == '-' || source_[tag.end] == '+')) {
      tag.sign = source_[tag.end++];
    }
    if (tag.kind != '%') return tag;
    size_t end = skip_space(source_, tag.end);
    if (!source_.substr(end).starts_with("raw")) return tag;
    end = skip_space(source_, end + 3);
    if (source_.substr(end).starts_with("-%}")) {
      return {begin, skip_space(source_, end + 3), 'r', tag.sign};
    }
    if (source_.substr(end).starts_with("%}")) return {begin, end + 2, 'r', tag.sign};
    return tag;
  }

  // The data in front of a tag, as the tag's sign and lstrip_blocks leave it.
  size_t data_end(size_t begin, size_t end, char sign, bool variable) const {
    if (sign == '-') return trim_space(source_, begin, end);
    if (sign == '+' || variable) return end;
    const size_t newline = source_.substr(begin, end - begin).rfind('\n');
    if (newline == npos && !line_starting_) return end;
    const size_t line_begin = newline == npos ? begin : begin + newline + 1;
    return trim_space(source_, line_begin, end) == line_begin ? line_begin : end;
  }

  void push_data(size_t end) {
    if (end > position_) push(TokenKind::data, source_.substr(position_, end - position_));
  }

  Result<void> lex_root() {
    size_t begin = position_;
    while (true) {
      begin = source_.find('{', begin);
      if (begin == npos || begin + 1 >= source_.size()) {
        push_data(source_.size());
        advance(source_.size());
        return {};
      }
      const char next = source_[begin + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++begin;
    }
    const Opening tag = opening_at(begin);
    push_data(data_end(position_, begin, tag.sign, tag.kind == '{'));
    advance(begin);
    if (tag.kind == '{' || tag.kind == '%') {
      push(tag.kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin, "");
      advance(tag.end);
      return lex_expression(tag.kind == '{');
    }
    advance(tag.end);
    return tag.kind == '#' ? lex_comment() : lex_raw();
  }

  // Behind the end mark "%}" or "#}" at `mark`, with the white space that goes with it.
  size_t after_end(size_t mark, char sign) const {
    const size_t end = mark + 2;
    if (sign == '-') return skip_space(source_, end);
    if (sign != '+' && end < source_.size() && source_[end] == '\n') return end + 1;
    return end;
  }

  Result<void> lex_comment() {
    const size_t mark = source_.find("#}", position_);
    if (mark == npos) return error("Missing end of comment tag");
    const char before = mark > position_ ? source_[mark - 1] : '\0';
    advance(after_end(mark, before));
    return {};
  }

  Result<void> lex_raw() {
    size_t begin = position_;
    while ((begin = source_.find("{%", begin)) != npos) {
      size_t end = begin + 2;
      char sign = 0;
      if (end < source_.size() && (source_[end] == '-' || source_[end] == '+')) {
        sign = source_[end++];
      }
      end = skip_space(source_, end);
      if (source_.substr(end).starts_with("endraw")) {
        end = skip_space(source_, end + 6);
        const char before = end < source_.size() ? source_[end] : '\0';
        if (before == '-' || before == '+') ++end;
        if (source_.substr(end).starts_with("%}")) {
          push_data(data_end(position_, begin, sign, false));
          advance(after_end(end, before));
          return {};
        }
      }
      ++begin;
    }
    return error("Missing end of raw directive");
  }

  Result<void> lex_expression(bool variable) {
    brackets_.clear();
    while (position_ < source_.size()) {
      if (brackets_.empty() && lex_end(variable)) return {};
      LOTSE_TRY(lex_token());
    }
    return {};
  }

  bool lex_end(bool variable) {
    const char sign = at("-") || (!variable && at("+")) ? source_[position_] : '\0';
    const size_t mark = position_ + (sign == 0 ? 0 : 1);
    if (!source_.substr(mark).starts_with(variable ? "}}" : "%}")) return false;
    push(variable ? TokenKind::variable_end : TokenKind::block_end, "");
    if (variable) {
      advance(sign == '-' ? skip_space(source_, mark + 2) : mark + 2);
    } else {
      advance(after_end(mark, sign));
    }
    return true;
  }

  Result<void> lex_token() {
    const Utf8Char c = decode_utf8(source_, position_);
    if (is_space(c.code_point)) {
      advance(skip_space(source_, position_));
      return {};
    }
    if (c.code_point < 0x80 && is_ascii_digit(source_[position_])) return lex_number();
    if (c.code_point == '\'' || c.code_point == '"') return lex_string();
    if (is_identifier_char(c.code_point)) return lex_name();
    return lex_operator();
  }

  Result<void> lex_name() {
    size_t end = position_;
    while (end < source_.size()) {
      const Utf8Char c = decode_utf8(source_, end);
      if (!is_identifier_char(c.code_point)) break;
      end += static_cast<size_t>(c.length);
    }
    const Utf8Char first = decode_utf8(source_, position_);
    if (!is_alphabetic(first.code_point) && first.code_point != '_') {
      return error("Invalid character in identifier");
    }
    push(TokenKind::name, source_.substr(position_, end - position_));
    advance(end);
    return {};
  }

  Result<void> lex_string() {
    const char quote = source_[position_];
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return error("unexpected char '{}': a string without end", quote);
    auto text = unescape_string(source_.substr(position_ + 1, end - position_ - 1));
    if (!text) return error("{}", text.error().message);
    push(TokenKind::string, *text);
    advance(end + 1);
    return {};
  }

  // The end of `digits` at `begin`, with single underscores between them.
  template <class IsDigit>
  size_t digits_end(size_t begin, IsDigit is_digit_char) const {
    size_t end = begin;
    while (end < source_.size()) {
      const bool joined = source_[end] == '_' && end > begin;
      const size_t next = joined ? end + 1 : end;
      if (next >= source_.size() || !is_digit_char(source_[next])) break;
      end = next + 1;
    }
    return end;
  }

  // The end of a number with a fraction or an exponent, or npos.
  size_t float_end() const {
    if (position_ > 0 && source_[position_ - 1] == '.') return npos;
    size_t end = digits_end(position_, is_ascii_digit);
    bool is_float = false;
    if (end + 1 < source_.size() && source_[end] == '.' && is_ascii_digit(source_[end + 1])) {
      end = digits_end(end + 1, is_ascii_digit);
      is_float = true;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign =
          end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      const size_t exponent = end + (sign ? 2 : 1);
      const size_t exponent_end = digits_end(exponent, is_ascii_digit);
      if (exponent_end > exponent) return exponent_end;
    }
    return is_float ? end : npos;
  }

  Result<void> lex_number() {
    const size_t floating_end = float_end();
    if (floating_end != npos) {
      push(TokenKind::floating, without_underscores(floating_end));
      tokens_.back().floating = std::strtod(tokens_.back().text.c_str(), nullptr);
      advance(floating_end);
      return {};
    }
    int base = 10;
    size_t begin = position_;
    size_t end = integer_end(base, begin);
    push(TokenKind::integer, without_underscores(end));
    const std::string& text = tokens_.back().text;
    const char* first = text.data() + (base == 10 ? 0 : 2);
    const auto parsed =
        std::from_chars(first, text.data() + text.size(), tokens_.back().integer, base);
    if (parsed.ec != std::errc()) return error("integer {} is beyond 64 bits", text);
    advance(end);
    return {};
  }

  size_t integer_end(int& base, size_t begin) const {
    const auto prefixed = [&](char letter, int radix, auto is_digit_char) -> size_t {
      if (begin + 2 >= source_.size() || source_[begin] != '0') return npos;
      if ((source_[begin + 1] | 0x20) != letter) return npos;
      const size_t skip = source_[begin + 2] == '_' ? 3 : 2;
      const size_t end = digits_end(begin + skip, is_digit_char);
      if (end == begin + skip) return npos;
      base = radix;
      return end;
    };
    size_t end = prefixed('b', 2, [](char c) { return c == '0' || c == '1'; });
    if (end != npos) return end;
    end = prefixed('o', 8, [](char c) { return c >= '0' && c <= '7'; });
    if (end != npos) return end;
    end = prefixed('x', 16, [](char c) {
      return is_ascii_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    });
    if (end != npos) return end;
    if (source_[begin] == '0') return digits_end(begin, [](char c) { return c == '0'; });
    return digits_end(begin, is_ascii_digit);
  }

  std::string without_underscores(size_t end) const {
    std::string text(source_.substr(position_, end - position_));
    std::erase(text, '_');
    return text;
  }

  Result<void> lex_operator() {
    const auto op = std::find_if(kOperators.begin(), kOperators.end(),
                                 [&](std::string_view candidate) { return at(candidate); });
    if (op->empty()) {
      const Utf8Char c = decode_utf8(source_, position_);
      return error("unexpected char '{}'",
                   source_.substr(position_, static_cast<size_t>(c.length)));
    }
    LOTSE_TRY(balance(op->front()));
    push(TokenKind::op, *op);
    advance(position_ + op->size());
    return {};
  }

  Result<void> balance(char bracket) {
    if (bracket == '(') brackets_ += ')';
    if (bracket == '[') brackets_ += ']';
    if (bracket == '{') brackets_ += '}';
    if (bracket != ')' && bracket != ']' && bracket != '}') return {};
    if (brackets_.empty()) return error("unexpected '{}'", bracket);
    if (brackets_.back() != bracket) {
      return error("unexpected '{}', expected '{}'", bracket, brackets_.back());
    }
    brackets_.pop_back();
    return {};
  }

  std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing brackets that are awaited
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  const std::string normalized = normalize_lines(source);
  return Lexer(normalized).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "template data / text";
    case TokenKind::variable_begin:
      return "begin of print statement";
    case TokenKind::variable_end:
      return "end of print statement";
    case TokenKind::block_begin:
      return "begin of statement block";
    case TokenKind::block_end:
      return "end of statement block";
    case TokenKind::end:
      return "end of template";
    default:
      return token.text;
  }
}

}  // namespace lotse::jinja
