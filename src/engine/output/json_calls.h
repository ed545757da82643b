// Calls as JSON objects {"name": …, "arguments": {…}}, one or a list of them.
#pragma once

#include "engine/output/call_parser.h"

namespace lotse {

// An object whose keys are name, arguments or parameters, id, type. The id, which models make up,
// is ignored.
class CallObject {
 public:
  // With `tools`, only their names make a call.
  explicit CallObject(const Tools* tools = nullptr) : tools_(tools) {}
  Taken take(char c, CallWriter& calls);

 private:
  enum class State : uint8_t { begin, first_key, key, colon, value, separator };

  Taken take_key_byte(char c);
  Taken take_value_byte(char c, CallWriter& calls);
  Taken end_value(CallWriter& calls);
  bool set_name(CallWriter& calls);
  bool set_arguments(CallWriter& calls);
  bool is_allowed(std::string_view name) const;
  Taken finish(CallWriter& calls);
  Taken go(State state) {
    state_ = state;
    return Taken::more;
  }

  const Tools* tools_;
  State state_ = State::begin;
  JsonCursor cursor_;  // of the key or value that is read
  std::string key_;
  std::string raw_;  // of key or value, as far as it is not written yet
  std::string name_;
  std::string arguments_;  // that came before the name
  bool has_arguments_ = false;
  bool is_written_ = false;    // the call has begun
  bool is_streaming_ = false;  // the value goes straight to the call's arguments
};

// One object, or a list of them.
std::unique_ptr<CallBody> json_calls(const Tools& tools);
// The same where a name that no tool has makes no call.
std::unique_ptr<CallBody> json_calls_of_tools(const Tools& tools);

}  // namespace lotse
