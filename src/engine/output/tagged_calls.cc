#include "engine/output/tagged_calls.h"

#include <algorithm>

namespace lotse {
namespace {

constexpr size_t kMaxTagBytes = 512;

struct TagStyle {
  std::string_view call_open;   // before a name
  std::string_view name_ends;   // one of these bytes ends a name; "<" begins the next tag
  std::string_view key_open;    // before a key
  std::string_view key_end;     // after it
  std::string_view value_open;  // before a value, white space aside; may be empty
  std::string_view value_close;
  std::string_view call_close;
  bool has_attributes = false;  // after name and key: anything up to ">"
  bool has_lines = false;       // a line end around a value is not part of it
};

constexpr TagStyle kQwen = {.call_open = "<function=",
                            .name_ends = ">",
                            .key_open = "<parameter=",
                            .key_end = ">",
                            .value_open = "",
                            .value_close = "</parameter>",
                            .call_close = "</function>",
                            .has_lines = true};
constexpr TagStyle kGlm = {.call_open = "",
                           .name_ends = "\n<",
                           .key_open = "<arg_key>",
                           .key_end = "</arg_key>",
                           .value_open = "<arg_value>",
                           .value_close = "</arg_value>",
                           .call_close = "</tool_call>"};
constexpr TagStyle kMinimax = {.call_open = "<invoke name=\"",
                               .name_ends = "\"",
                               .key_open = "<parameter name=\"",
                               .key_end = "\"",
                               .value_open = "",
                               .value_close = "</parameter>",
                               .call_close = "</invoke>",
                               .has_attributes = true};
constexpr TagStyle kDsml = {.call_open = "<｜DSML｜invoke name=\"",
                            .name_ends = "\"",
                            .key_open = "<｜DSML｜parameter name=\"",
                            .key_end = "\"",
                            .value_open = "",
                            .value_close = "</｜DSML｜parameter>",
                            .call_close = "</｜DSML｜invoke>",
                            .has_attributes = true};

// A value that is no string, as JSON. Python's words are JSON's, and what is neither is a string
// after all.
std::string json_of(std::string_view raw) {
  const size_t begin = raw.find_first_not_of(" \t\r\n");
  const size_t end = raw.find_last_not_of(" \t\r\n");
  const auto value =
      begin == std::string_view::npos ? raw.substr(0, 0) : raw.substr(begin, end - begin + 1);
  if (value == "True") return "true";
  if (value == "False") return "false";
  if (value == "None") return "null";
  if (is_json(value)) return std::string(value);
  return '"' + json_string_inside(raw) + '"';
}

class TaggedCall final : public CallBody {
 public:
  TaggedCall(const TagStyle& style, const Tools& tools, bool is_opened)
      : style_(style), tools_(tools), state_(is_opened ? State::name : State::open) {}

  Taken take(char c, CallWriter& calls) override {
    switch (state_) {
      case State::open:
        return take_tag(c, style_.call_open, State::name);
      case State::name:
        return take_name(c, calls);
      case State::name_attributes:
        return c == '>' ? begin(calls) : bounded(c);
      case State::next:
        return take_next(c, calls);
      case State::key:
        return take_key(c);
      case State::key_attributes:
        return c == '>' ? go(State::value) : bounded(c);
      case State::value_open:
        return take_tag(c, style_.value_open, State::value);
      case State::value:
        break;
    }
    begin_value(calls);
    return take_value(c, calls);
  }

 private:
  enum class State : uint8_t {
    open,
    name,
    name_attributes,
    next,
    key,
    key_attributes,
    value_open,
    value
  };

  Taken go(State state) {
    text_.clear();
    state_ = state;
    return Taken::more;
  }

  Taken bounded(char c) {
    text_ += c;
    return text_.size() > kMaxTagBytes ? Taken::bad : Taken::more;
  }

  // A tag with white space before it.
  Taken take_tag(char c, std::string_view tag, State then) {
    if (text_.empty() && is_json_space(c)) return Taken::more;
    text_ += c;
    if (!tag.starts_with(text_)) return Taken::bad;
    return text_ == tag ? go(then) : Taken::more;
  }

  Taken take_name(char c, CallWriter& calls) {
    if (style_.name_ends.find(c) == std::string_view::npos) return bounded(c);
    name_ = text_;
    if (!is_call_name(name_)) return Taken::bad;
    if (style_.has_attributes) return go(State::name_attributes);
    const Taken taken = begin(calls);
    return c == '<' ? take(c, calls) : taken;
  }

  Taken begin(CallWriter& calls) {
    const auto tool = std::ranges::find(tools_, name_, &ToolSignature::name);
    tool_ = tool == tools_.end() ? nullptr : &*tool;
    calls.begin(name_);
    calls.arguments("{");
    return go(State::next);
  }

  // The next parameter, or the end of the call.
  Taken take_next(char c, CallWriter& calls) {
    if (text_.empty() && is_json_space(c)) return Taken::more;
    text_ += c;
    if (text_ == style_.key_open) return go(State::key);
    if (text_ == style_.call_close) {
      calls.arguments("}");
      calls.end();
      return Taken::last;
    }
    const bool may_become =
        style_.key_open.starts_with(text_) || style_.call_close.starts_with(text_);
    return may_become ? Taken::more : Taken::bad;
  }

  Taken take_key(char c) {
    text_ += c;
    if (!text_.ends_with(style_.key_end)) {
      return text_.size() > kMaxTagBytes ? Taken::bad : Taken::more;
    }
    key_ = text_.substr(0, text_.size() - style_.key_end.size());
    if (style_.has_attributes) return go(State::key_attributes);
    return go(style_.value_open.empty() ? State::value : State::value_open);
  }

  void begin_value(CallWriter& calls) {
    if (in_value_) return;
    in_value_ = at_value_begin_ = true;
    is_text_ = tool_ == nullptr || !tool_->json_parameters.contains(key_);
    calls.arguments((parameters_++ > 0 ? ", \"" : "\"") + json_string_inside(key_) + "\": ");
    if (is_text_) calls.arguments("\"");
  }

  // text_ is what may be the closing tag, with a line end before it.
  Taken take_value(char c, CallWriter& calls) {
    text_ += c;
    while (!text_.empty()) {
      std::string_view tag = text_;
      if (style_.has_lines && tag.starts_with('\n')) tag.remove_prefix(1);
      if (tag == style_.value_close) return end_value(calls);
      if (style_.value_close.starts_with(tag) && !(at_value_begin_ && tag.empty())) break;
      if (!(at_value_begin_ && style_.has_lines && text_.front() == '\n')) {
        add_value_byte(text_.front(), calls);
      }
      at_value_begin_ = false;
      text_.erase(0, 1);
    }
    return Taken::more;
  }

  void add_value_byte(char c, CallWriter& calls) {
    if (is_text_) {
      calls.arguments(json_string_inside({&c, 1}));
    } else {
      raw_ += c;
    }
  }

  Taken end_value(CallWriter& calls) {
    calls.arguments(is_text_ ? "\"" : json_of(raw_));
    raw_.clear();
    in_value_ = false;
    return go(State::next);
  }

  const TagStyle& style_;
  const Tools& tools_;
  State state_;
  std::string text_;  // of a tag, name, or key so far
  std::string name_, key_;
  std::string raw_;  // of a value that is no string
  const ToolSignature* tool_ = nullptr;
  int64_t parameters_ = 0;
  bool in_value_ = false;
  bool at_value_begin_ = false;
  bool is_text_ = false;
};

}  // namespace

std::unique_ptr<CallBody> qwen_calls(const Tools& tools) {
  return std::make_unique<TaggedCall>(kQwen, tools, false);
}
std::unique_ptr<CallBody> qwen_call(const Tools& tools) {
  return std::make_unique<TaggedCall>(kQwen, tools, true);
}
std::unique_ptr<CallBody> glm_call(const Tools& tools) {
  return std::make_unique<TaggedCall>(kGlm, tools, true);
}
std::unique_ptr<CallBody> minimax_calls(const Tools& tools) {
  return std::make_unique<TaggedCall>(kMinimax, tools, false);
}
std::unique_ptr<CallBody> minimax_call(const Tools& tools) {
  return std::make_unique<TaggedCall>(kMinimax, tools, true);
}
std::unique_ptr<CallBody> dsml_calls(const Tools& tools) {
  return std::make_unique<TaggedCall>(kDsml, tools, false);
}
std::unique_ptr<CallBody> dsml_call(const Tools& tools) {
  return std::make_unique<TaggedCall>(kDsml, tools, true);
}

}  // namespace lotse
