// Text whose every byte is known to be trusted (written in the template, or given as a special
// token by the caller) or not (it came from a message, a tool, a user). Only trusted text may
// become special tokens, so the mark follows the text through every string operation.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lotse::jinja {

class Text {
 public:
  // The text up to `end` (from the end of the run before) is all trusted or all not.
  struct Run {
    size_t end;
    bool trusted;
  };

  Text() = default;
  Text(std::string_view bytes, bool trusted) { append(bytes, trusted); }

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // Runs in order, without empty ones and with no two neighbours alike.
  const std::vector<Run>& runs() const { return runs_; }
  // The mark of the byte at `position`; false at or behind the end.
  bool trusted_at(size_t position) const;

  void append(std::string_view bytes, bool trusted);
  void append(const Text& other) { append_slice(other, 0, other.size()); }
  // Appends the bytes [begin, end) of `other`, which must not be this text.
  void append_slice(const Text& other, size_t begin, size_t end);
  Text slice(size_t begin, size_t end) const;

 private:
  size_t run_at(size_t position) const;

  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace lotse::jinja
