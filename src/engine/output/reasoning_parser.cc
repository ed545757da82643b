#include "engine/output/reasoning_parser.h"

#include <utility>

#include "engine/output/call_parser.h"

namespace lotse {

ReasoningParser::ReasoningParser(const ReasoningTags& tags, bool begins_in_reasoning,
                                 std::unique_ptr<OutputParser> answer)
    : tags_(tags),
      answer_(std::move(answer)),
      state_(begins_in_reasoning ? State::reasoning : State::before) {}

std::vector<OutputEvent> ReasoningParser::push(std::string_view text) {
  std::vector<OutputEvent> events;
  while (!text.empty() && state_ != State::answer) {
    const char c = text.front();
    text.remove_prefix(1);
    if (state_ == State::before) {
      take_before(c);
    } else if (state_ == State::reasoning) {
      take_reasoning(c, events);
    } else if (!is_json_space(c)) {
      held_ = c;
      state_ = State::answer;
    }
  }
  if (state_ == State::answer) append(events, answer_->push(std::exchange(held_, {}).append(text)));
  return events;
}

std::vector<OutputEvent> ReasoningParser::finish() {
  std::vector<OutputEvent> events;
  if (state_ == State::reasoning) {
    if (!held_.empty()) add_text(events, OutputEvent::Kind::reasoning, space_ + held_);
  } else {
    events = answer_->push(space_ + held_);
  }
  append(events, answer_->finish());
  return events;
}

void ReasoningParser::take_before(char c) {
  if (held_.empty() && is_json_space(c)) {
    space_ += c;
    return;
  }
  held_ += c;
  if (!tags_.open.starts_with(held_)) {
    held_.insert(0, std::exchange(space_, {}));
    state_ = State::answer;
  } else if (held_ == tags_.open) {
    held_.clear();
    space_.clear();
    state_ = State::reasoning;
  }
}

void ReasoningParser::take_reasoning(char c, std::vector<OutputEvent>& events) {
  held_ += c;
  while (!held_.empty() && !tags_.close.starts_with(held_)) {
    const char first = held_.front();
    held_.erase(0, 1);
    if (is_json_space(first)) {
      if (has_text_) space_ += first;
      continue;
    }
    has_text_ = true;
    add_text(events, OutputEvent::Kind::reasoning, std::exchange(space_, {}) + first);
  }
  if (held_ != tags_.close) return;
  held_.clear();
  space_.clear();
  state_ = State::after;
}

void ReasoningParser::append(std::vector<OutputEvent>& events, std::vector<OutputEvent> more) {
  events.insert(events.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
}

}  // namespace lotse
