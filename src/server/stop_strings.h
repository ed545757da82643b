// Stop strings in a text that comes in pieces.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lotse {

// Lets text through up to the first place where a stop string stands; of several that end at the
// same place the one that begins first counts. Text that may be the beginning of a stop string is
// held back until that is decided. Not thread-safe.
class StopStrings {
 public:
  // Empty strings are ignored. With `include`, the stop string itself is let through.
  StopStrings(std::vector<std::string> strings, bool include);

  // What may be shown of everything pushed so far and not shown yet.
  std::string push(std::string_view text);
  // What was held back, at the end of the text.
  std::string flush();
  // The one that was found; from then on nothing is let through.
  const std::optional<std::string>& found() const { return found_; }

 private:
  size_t certain_length() const;

  std::vector<std::string> strings_;
  bool include_;
  std::string held_;
  std::optional<std::string> found_;
};

}  // namespace lotse
