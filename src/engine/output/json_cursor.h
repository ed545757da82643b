// One JSON value (RFC 8259) of a text that comes byte by byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lotse {

enum class Taken : uint8_t {
  more,    // the byte is part of what is read, which goes on
  part,    // the same, and what was read so far is complete in itself
  last,    // the byte ends it
  beyond,  // it ended before the byte
  bad,     // the byte must not stand here
};

class JsonCursor {
 public:
  static constexpr size_t kMaxDepth = 64;

  // White space before the value is part of it.
  Taken take(char c);

 private:
  enum class State : uint8_t {
    value,
    first_element,
    first_key,
    key,
    colon,
    separator,
    string,
    escape,
    hex,
    minus,
    zero,
    whole,
    point,
    fraction,
    exponent_mark,
    exponent_sign,
    exponent,
    literal
  };

  Taken begin_value(char c);
  Taken separate(char c);
  Taken number(char c);
  Taken in_string(char c);
  Taken open(char bracket, State state);
  Taken ended();
  Taken go(State state) {
    state_ = state;
    return Taken::more;
  }

  State state_ = State::value;
  std::string open_;  // brackets
  bool in_key_ = false;
  int hex_left_ = 0;
  std::string_view literal_left_;
};

bool is_json_space(char c);
// Whether the text is one JSON value, with or without white space around it.
bool is_json(std::string_view text);
// The text that a JSON string stands for, from its quotes; nothing when it is none.
std::optional<std::string> json_string_value(std::string_view json);
// A text as the inside of a JSON string. Any bytes from 0x80 on are kept as they are.
std::string json_string_inside(std::string_view text);

}  // namespace lotse
