// What operators along rows have in common.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lotse::emulator {

// Rows of `length` elements that are worth a thread.
inline int64_t row_grain(int64_t length) { return 1 + 16384 / std::max<int64_t>(length, 1); }

// In double, so that the order does not show.
inline double sum_of_squares(const float* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  return sum;
}

inline float exponential(float x) { return std::exp(x); }

// x · sigmoid(x)
inline float silu(float x) { return x / (1 + exponential(-x)); }

}  // namespace lotse::emulator
