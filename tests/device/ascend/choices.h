// The likeliest tokens of two devices.
#pragma once

#include "tests/golden/golden.h"

namespace lotse {

// The likeliest token is the same wherever it leads by more than 8 · `tolerance` · RMS of the
// logits, which is more than both devices may depart by. How many rows that are.
inline int expect_same_choices(std::span<const float> actual, std::span<const float> expected,
                               int64_t vocabulary, double tolerance) {
  const auto width = static_cast<size_t>(vocabulary);
  const float margin = 8 * static_cast<float>(tolerance) * rms(expected);
  int clear = 0;
  for (size_t begin = 0; begin < expected.size(); begin += width) {
    std::vector<float> row(expected.begin() + static_cast<ptrdiff_t>(begin),
                           expected.begin() + static_cast<ptrdiff_t>(begin + width));
    const auto best = std::ranges::max_element(row) - row.begin();
    std::ranges::nth_element(row, row.begin() + 1, std::greater<>());
    if (row[0] - row[1] <= margin) continue;
    ++clear;
    const auto chosen = actual.subspan(begin, width);
    EXPECT_EQ(std::ranges::max_element(chosen) - chosen.begin(), best) << begin / width;
  }
  return clear;
}

}  // namespace lotse
