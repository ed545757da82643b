// A streamed answer, read as it comes: when its text came, and whether the stream keeps to the
// conventions of OpenAI's API.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lotse {

// Splits a stream into server-sent events (WHATWG HTML, 9.2).
class EventSplitter {
 public:
  // Calls `on_event(name, data)` for each event that is complete. Comments are dropped.
  template <class OnEvent>
  void push(std::string_view text, OnEvent on_event) {
    pending_ += text;
    size_t begin = 0;
    for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string_view line = std::string_view(pending_).substr(begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty()) {
        take_line(line);
      } else if (has_data_) {
        on_event(name_, data_);
        reset();
      }
    }
    pending_.erase(0, begin);
  }
  // Whether the stream ended in the middle of an event.
  bool is_cut() const { return !pending_.empty() || has_data_; }

 private:
  void take_line(std::string_view line);
  void reset();

  std::string pending_, name_, data_;
  bool has_data_ = false;
};

// Not thread-safe.
class StreamCheck {
 public:
  using Time = std::chrono::steady_clock::time_point;
  StreamCheck(bool is_chat, int64_t asked_tokens)
      : is_chat_(is_chat), asked_tokens_(asked_tokens) {}

  void push(std::string_view text, Time now);
  // After the end of the stream.
  void finish();

  // The times at which text came.
  const std::vector<Time>& text_times() const { return text_times_; }
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t completion_tokens() const { return completion_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  // What the server reported in the middle of the stream; empty for nothing.
  const std::string& failure() const { return failure_; }
  // The first convention that was broken; empty for none.
  const std::string& breach() const { return breach_; }

 private:
  void on_event(std::string_view name, std::string_view data, Time now);
  void expect(bool holds, const char* breach) {
    if (!holds && breach_.empty()) breach_ = breach;
  }

  const bool is_chat_;
  const int64_t asked_tokens_;
  EventSplitter splitter_;
  std::vector<Time> text_times_;
  std::string id_, failure_, breach_;
  int64_t prompt_tokens_ = 0, completion_tokens_ = 0, cached_tokens_ = 0;
  int64_t events_ = 0, finishes_ = 0, ends_ = 0, usages_ = 0;
};

}  // namespace lotse
