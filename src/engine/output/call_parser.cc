#include "engine/output/call_parser.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace lotse {

void add_text(std::vector<OutputEvent>& events, OutputEvent::Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (!events.empty() && events.back().kind == kind) {
    events.back().text += text;
  } else {
    events.push_back({kind, std::string(text), {}, 0});
  }
}

void CallWriter::begin(std::string name, std::string id) {
  events_.push_back({OutputEvent::Kind::call_begin, std::move(name), std::move(id), count_++});
  ++writes_;
  is_open_ = true;
}

void CallWriter::arguments(std::string_view json) {
  if (json.empty()) return;
  add_text(events_, OutputEvent::Kind::call_arguments, json);
  ++writes_;
  events_.back().call = count_ - 1;
}

void CallWriter::end() {
  events_.push_back({OutputEvent::Kind::call_end, {}, {}, count_ - 1});
  ++writes_;
  is_open_ = false;
}

bool is_call_name(std::string_view text) {
  constexpr size_t kMaxBytes = 256;
  return !text.empty() && text.size() <= kMaxBytes && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           static_cast<unsigned char>(c) >= 0x80 ||
           std::string_view("_-.:/").find(c) != std::string_view::npos;
  });
}

CallParser::CallParser(const CallFormat& format, Tools tools)
    : format_(format), tools_(std::move(tools)) {}

std::vector<OutputEvent> CallParser::push(std::string_view text) {
  for (const char c : text) take(c);
  return calls_.take();
}

std::vector<OutputEvent> CallParser::finish() {
  if (calls_.is_open()) {
    calls_.end();
  } else {
    fall_back();
    if (!follows_call()) calls_.content(std::exchange(space_, {}));
  }
  return calls_.take();
}

void CallParser::take(char c) {
  if (body_ != nullptr) return take_body_byte(c);
  if (held_.empty() && at_border_ && c == format_.bare_begin && format_.make_bare_body != nullptr) {
    begin_body(format_.make_bare_body(tools_));
    return take_body_byte(c);
  }
  held_ += c;
  match_markers();
}

// Lets through what of the held content begins no marker.
void CallParser::match_markers() {
  while (!held_.empty() && !match_marker()) {
    add_content(held_.front());
    held_.erase(0, 1);
  }
}

// Whether the held content is a marker, or may become one.
bool CallParser::match_marker() {
  for (const auto& opening : format_.openings) {
    if (!opening.marker.starts_with(held_)) continue;
    if (opening.marker.size() == held_.size()) begin_body(opening.make_body(tools_));
    return true;
  }
  if (!follows_call()) return false;
  for (const std::string_view closing : format_.closings) {
    if (!closing.starts_with(held_)) continue;
    if (closing.size() == held_.size()) held_.clear();
    return true;
  }
  return false;
}

void CallParser::begin_body(std::unique_ptr<CallBody> body) {
  body_ = std::move(body);
  calls_before_body_ = calls_.count();
}

void CallParser::take_body_byte(char c) {
  const int64_t before = calls_.writes();
  const Taken taken = body_->take(c, calls_);
  if (calls_.writes() > before || taken == Taken::part) {
    held_.clear();
  } else if (taken == Taken::more || taken == Taken::last) {
    held_ += c;
  }
  if (taken == Taken::more || taken == Taken::part) return;
  body_.reset();
  if (calls_.is_open()) calls_.end();
  at_border_ = calls_.count() > calls_before_body_;
  if (at_border_) space_.clear();
  if (at_border_ && taken != Taken::bad) held_.clear();
  fall_back();
  if (taken != Taken::last) take(c);
}

void CallParser::add_content(char c) {
  if (is_json_space(c)) {
    space_ += c;
    return;
  }
  if (!follows_call()) calls_.content(space_);
  space_.clear();
  calls_.content({&c, 1});
  at_border_ = false;
}

// What looked like a call, or like the beginning of a marker, is content.
void CallParser::fall_back() {
  for (const char c : std::exchange(held_, {})) add_content(c);
}

}  // namespace lotse
