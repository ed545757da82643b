#include "engine/output/json_calls.h"

#include <algorithm>
#include <utility>

namespace lotse {
namespace {

constexpr size_t kMaxKeyBytes = 256;
constexpr std::string_view kCallKeys[] = {"name", "arguments", "parameters", "id", "type"};

class JsonCalls final : public CallBody {
 public:
  explicit JsonCalls(const Tools* tools) : tools_(tools), object_(tools) {}

  Taken take(char c, CallWriter& calls) override {
    if (state_ == State::object) return take_object_byte(c, calls);
    if (is_json_space(c)) return Taken::more;
    if (c == '[' && state_ == State::begin) {
      is_list_ = true;
      state_ = State::element;
      return Taken::more;
    }
    if (c == '{' && state_ != State::separator) {
      state_ = State::object;
      object_ = CallObject(tools_);
      return object_.take(c, calls);
    }
    if (c == ',' && state_ == State::separator) {
      state_ = State::element;
      return Taken::more;
    }
    return c == ']' && state_ == State::separator ? Taken::last : Taken::bad;
  }

 private:
  enum class State : uint8_t { begin, element, object, separator };

  Taken take_object_byte(char c, CallWriter& calls) {
    const Taken taken = object_.take(c, calls);
    if (taken != Taken::last || !is_list_) return taken;
    state_ = State::separator;
    return Taken::part;
  }

  const Tools* tools_;
  CallObject object_;
  State state_ = State::begin;
  bool is_list_ = false;
};

}  // namespace

Taken CallObject::take(char c, CallWriter& calls) {
  if (state_ == State::value) return take_value_byte(c, calls);
  if (state_ == State::key && !raw_.empty()) return take_key_byte(c);
  if (is_json_space(c)) return Taken::more;
  switch (state_) {
    case State::begin:
      return c == '{' ? go(State::first_key) : Taken::bad;
    case State::first_key:
      if (c == '}') return Taken::bad;
      state_ = State::key;
      [[fallthrough]];
    case State::key:
      cursor_ = {};
      return c == '"' ? take_key_byte(c) : Taken::bad;
    case State::colon:
      cursor_ = {};
      return c == ':' ? go(State::value) : Taken::bad;
    default:
      if (c == ',') return go(State::key);
      return c == '}' ? finish(calls) : Taken::bad;
  }
}

Taken CallObject::take_key_byte(char c) {
  raw_ += c;
  const Taken taken = cursor_.take(c);
  if (taken != Taken::last) return raw_.size() > kMaxKeyBytes ? Taken::bad : taken;
  key_ = json_string_value(std::exchange(raw_, {})).value_or("");
  const bool known = std::ranges::find(kCallKeys, key_) != std::end(kCallKeys);
  return known ? go(State::colon) : Taken::bad;
}

Taken CallObject::take_value_byte(char c, CallWriter& calls) {
  if (raw_.empty() && !is_streaming_ && is_json_space(c)) return Taken::more;
  const bool is_arguments = key_ == "arguments" || key_ == "parameters";
  if (is_arguments && raw_.empty() && !is_streaming_ && c == '{' && !name_.empty()) {
    if (is_written_) return Taken::bad;
    calls.begin(name_);
    is_streaming_ = is_written_ = true;
  }
  const Taken taken = cursor_.take(c);
  if (taken == Taken::bad) return taken;
  if (taken == Taken::beyond) {
    if (end_value(calls) == Taken::bad) return Taken::bad;
    return take(c, calls);
  }
  if (is_streaming_) {
    calls.arguments({&c, 1});
  } else {
    raw_ += c;
  }
  return taken == Taken::last ? end_value(calls) : taken;
}

Taken CallObject::end_value(CallWriter& calls) {
  state_ = State::separator;
  if (is_streaming_) {
    is_streaming_ = false;
    has_arguments_ = true;
    calls.end();
    return Taken::more;
  }
  bool good = true;
  if (key_ == "name") good = set_name(calls);
  if (key_ == "arguments" || key_ == "parameters") good = set_arguments(calls);
  raw_.clear();
  return good ? Taken::more : Taken::bad;
}

bool CallObject::set_name(CallWriter& calls) {
  const auto name = json_string_value(raw_);
  if (!name || !name_.empty() || !is_allowed(*name)) return false;
  name_ = *name;
  if (!has_arguments_) return true;
  calls.begin(name_);
  calls.arguments(arguments_);
  calls.end();
  return is_written_ = true;
}

bool CallObject::is_allowed(std::string_view name) const {
  if (!is_call_name(name)) return false;
  return tools_ == nullptr ||
         std::ranges::any_of(*tools_, [&](const ToolSignature& tool) { return tool.name == name; });
}

// Arguments that do not go straight to the call: the name is not known, or they are written as
// null, or as a string that holds them.
bool CallObject::set_arguments(CallWriter& calls) {
  if (has_arguments_) return false;
  arguments_ = raw_ == "null" ? "{}" : json_string_value(raw_).value_or(raw_);
  const size_t begin = arguments_.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || arguments_[begin] != '{' || !is_json(arguments_)) return false;
  has_arguments_ = true;
  if (name_.empty()) return true;
  calls.begin(name_);
  calls.arguments(arguments_);
  calls.end();
  return is_written_ = true;
}

Taken CallObject::finish(CallWriter& calls) {
  if (name_.empty()) return Taken::bad;
  if (!is_written_) {
    calls.begin(name_);
    calls.arguments("{}");
    calls.end();
  }
  return Taken::last;
}

std::unique_ptr<CallBody> json_calls(const Tools& /*tools*/) {
  return std::make_unique<JsonCalls>(nullptr);
}

std::unique_ptr<CallBody> json_calls_of_tools(const Tools& tools) {
  return std::make_unique<JsonCalls>(&tools);
}

}  // namespace lotse
