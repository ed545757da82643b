// Overflow-checked arithmetic for sizes that come from files and requests.
#pragma once

#include <cstdint>
#include <optional>

namespace lotse {

// a + b, or nothing when it does not fit in int64.
[[nodiscard]] inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

// a · b, or nothing when it does not fit in int64.
[[nodiscard]] inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// ⌈a / b⌉ for a ≥ 0, b > 0, without overflow.
[[nodiscard]] constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// a rounded up to a multiple of b; the caller guarantees that the result fits.
[[nodiscard]] constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace lotse
