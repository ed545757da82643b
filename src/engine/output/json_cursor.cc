#include "engine/output/json_cursor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lotse {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20; }

}  // namespace

bool is_json_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

Taken JsonCursor::take(char c) {
  switch (state_) {
    case State::value:
    case State::first_element:
    case State::first_key:
    case State::key:
    case State::colon:
    case State::separator:
      return is_json_space(c) ? Taken::more : separate(c);
    case State::string:
    case State::escape:
    case State::hex:
      return in_string(c);
    case State::literal:
      if (c != literal_left_.front()) return Taken::bad;
      literal_left_.remove_prefix(1);
      return literal_left_.empty() ? ended() : Taken::more;
    default:
      return number(c);
  }
}

// Between values.
Taken JsonCursor::separate(char c) {
  switch (state_) {
    case State::first_element:
      return c == ']' ? ended() : begin_value(c);
    case State::first_key:
      if (c == '}') return ended();
      [[fallthrough]];
    case State::key:
      in_key_ = true;
      return c == '"' ? go(State::string) : Taken::bad;
    case State::colon:
      return c == ':' ? go(State::value) : Taken::bad;
    case State::separator: {
      const bool in_object = open_.back() == '{';
      if (c == ',') return go(in_object ? State::key : State::value);
      return c == (in_object ? '}' : ']') ? ended() : Taken::bad;
    }
    default:
      return begin_value(c);
  }
}

Taken JsonCursor::begin_value(char c) {
  const auto literal = [&](std::string_view rest) {
    literal_left_ = rest;
    return go(State::literal);
  };
  switch (c) {
    case '{':
      return open(c, State::first_key);
    case '[':
      return open(c, State::first_element);
    case '"':
      in_key_ = false;
      return go(State::string);
    case '-':
      return go(State::minus);
    case '0':
      return go(State::zero);
    case 't':
      return literal("rue");
    case 'f':
      return literal("alse");
    case 'n':
      return literal("ull");
    default:
      return is_digit(c) ? go(State::whole) : Taken::bad;
  }
}

Taken JsonCursor::open(char bracket, State state) {
  if (open_.size() == kMaxDepth) return Taken::bad;
  open_ += bracket;
  return go(state);
}

Taken JsonCursor::ended() {
  const bool closes =
      state_ == State::separator || state_ == State::first_element || state_ == State::first_key;
  if (closes) open_.pop_back();
  state_ = State::separator;
  return open_.empty() ? Taken::last : Taken::more;
}

Taken JsonCursor::in_string(char c) {
  switch (state_) {
    case State::escape:
      if (c == 'u') {
        hex_left_ = 4;
        return go(State::hex);
      }
      return std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos ? Taken::bad
                                                                              : go(State::string);
    case State::hex:
      if (!is_hex_digit(c)) return Taken::bad;
      return --hex_left_ == 0 ? go(State::string) : Taken::more;
    default:
      if (c == '"') return in_key_ ? go(State::colon) : ended();
      if (c == '\\') return go(State::escape);
      return is_control(c) ? Taken::bad : Taken::more;
  }
}

Taken JsonCursor::number(char c) {
  const bool ends = state_ == State::zero || state_ == State::whole || state_ == State::fraction ||
                    state_ == State::exponent;
  if (is_digit(c)) {
    switch (state_) {
      case State::minus:
        return go(c == '0' ? State::zero : State::whole);
      case State::zero:
        return Taken::bad;
      case State::point:
        return go(State::fraction);
      case State::exponent_mark:
      case State::exponent_sign:
        return go(State::exponent);
      default:
        return Taken::more;
    }
  }
  if (c == '.' && (state_ == State::zero || state_ == State::whole)) return go(State::point);
  if ((c == 'e' || c == 'E') && ends && state_ != State::exponent) return go(State::exponent_mark);
  if ((c == '+' || c == '-') && state_ == State::exponent_mark) return go(State::exponent_sign);
  if (!ends) return Taken::bad;
  if (open_.empty()) return Taken::beyond;
  state_ = State::separator;
  return take(c);
}

bool is_json(std::string_view text) {
  JsonCursor cursor;
  bool has_ended = false;
  for (const char c : std::string(text) + ' ') {
    if (has_ended) {
      if (!is_json_space(c)) return false;
      continue;
    }
    const Taken taken = cursor.take(c);
    if (taken == Taken::bad || (taken == Taken::beyond && !is_json_space(c))) return false;
    has_ended = taken != Taken::more;
  }
  return has_ended;
}

std::optional<std::string> json_string_value(std::string_view json) {
  const auto value = nlohmann::json::parse(json, nullptr, false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

std::string json_string_inside(std::string_view text) {
  std::string inside;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      inside += {'\\', c};
    } else if (c == '\n') {
      inside += "\\n";
    } else if (c == '\t') {
      inside += "\\t";
    } else if (is_control(c)) {
      inside += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      inside += c;
    }
  }
  return inside;
}

}  // namespace lotse
