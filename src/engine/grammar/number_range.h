// The decimal texts of the numbers within bounds.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "engine/grammar/dfa.h"

namespace lotse {

// A decimal number, exactly. `fraction` has no trailing zeros.
struct Decimal {
  bool negative = false;
  int64_t whole = 0;  // magnitude
  std::string fraction;

  // Of JSON's number syntax; nothing where the magnitude reaches 10^18 or the fraction is longer
  // than 40 digits.
  static std::optional<Decimal> parse(std::string_view text);
  bool is_whole() const { return fraction.empty(); }
  bool operator==(const Decimal&) const = default;
};

struct NumberBounds {
  std::optional<Decimal> low;
  std::optional<Decimal> high;
  bool low_exclusive = false;
  bool high_exclusive = false;
};

// Integers without "-0", of at most 18 digits.
Result<Dfa> integers_within(const NumberBounds& bounds, DfaBudget& budget);
// Numbers without an exponent, of at most 18 digits before the point and about 17 after it.
Result<Dfa> numbers_within(const NumberBounds& bounds, DfaBudget& budget);
// Integers that `divisor` divides.
Dfa multiples_of(int64_t divisor);

}  // namespace lotse
