#include "chat_template/text.h"

#include <algorithm>

namespace lotse::jinja {

size_t Text::run_at(size_t position) const {
  const auto it = std::upper_bound(runs_.begin(), runs_.end(), position,
                                   [](size_t p, const Run& run) { return p < run.end; });
  return static_cast<size_t>(it - runs_.begin());
}

bool Text::trusted_at(size_t position) const {
  const size_t index = run_at(position);
  return index < runs_.size() && runs_[index].trusted;
}

void Text::append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), trusted});
  }
}

void Text::append_slice(const Text& other, size_t begin, size_t end) {
  const std::string_view bytes = other.bytes_;
  for (size_t i = other.run_at(begin); begin < end; ++i) {
    const size_t stop = std::min(end, other.runs_[i].end);
    append(bytes.substr(begin, stop - begin), other.runs_[i].trusted);
    begin = stop;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text result;
  result.append_slice(*this, begin, end);
  return result;
}

}  // namespace lotse::jinja
