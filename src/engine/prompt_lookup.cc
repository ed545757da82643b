#include "engine/prompt_lookup.h"

#include <algorithm>

namespace lotse {

std::vector<int32_t> look_up_draft(std::span<const int32_t> tokens, int64_t most) {
  constexpr size_t kLongest = 3;
  constexpr size_t kShortest = 2;
  if (most <= 0) return {};
  for (size_t length = kLongest; length >= kShortest; --length) {
    if (tokens.size() <= length) continue;
    const auto end = tokens.last(length);
    // All that could begin before the end itself does, nearest first.
    for (size_t start = tokens.size() - length; start-- > 0;) {
      if (!std::ranges::equal(tokens.subspan(start, length), end)) continue;
      const auto after = tokens.subspan(start + length);
      const auto count = std::min(after.size(), static_cast<size_t>(most));
      return {after.begin(), after.begin() + static_cast<ptrdiff_t>(count)};
    }
  }
  return {};
}

}  // namespace lotse
