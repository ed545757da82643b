#include "server/stop_strings.h"

#include <algorithm>
#include <utility>

namespace lotse {

StopStrings::StopStrings(std::vector<std::string> strings, bool include)
    : strings_(std::move(strings)), include_(include) {
  std::erase_if(strings_, [](const std::string& string) { return string.empty(); });
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  // The first to end is the one that a reader of single characters would meet first.
  size_t begin = 0, end = std::string::npos;
  for (const std::string& string : strings_) {
    const size_t at = held_.find(string);
    if (at == std::string::npos) continue;
    const size_t stop = at + string.size();
    if (stop > end || (stop == end && at >= begin)) continue;
    begin = at;
    end = stop;
    found_ = string;
  }
  if (found_) {
    std::string shown = held_.substr(0, include_ ? end : begin);
    held_.clear();
    return shown;
  }
  std::string shown = held_.substr(0, certain_length());
  held_.erase(0, shown.size());
  return shown;
}

// Without the longest end of the held text that begins a stop string.
size_t StopStrings::certain_length() const {
  size_t undecided = 0;
  for (const std::string& string : strings_) {
    const size_t longest = std::min(string.size() - 1, held_.size());
    for (size_t length = longest; length > undecided; --length) {
      if (held_.ends_with(std::string_view(string).substr(0, length))) undecided = length;
    }
  }
  return held_.size() - undecided;
}

std::string StopStrings::flush() { return found_ ? std::string() : std::exchange(held_, {}); }

}  // namespace lotse
