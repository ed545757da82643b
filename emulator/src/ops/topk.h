// The k largest or smallest of a row.
#pragma once

#include <cstdint>
#include <vector>

namespace lotse::emulator {

// Their indices in order; of equals the lower index first, and NaN counts as the largest. T is
// float, double or int64_t; 0 <= k <= count.
template <class T>
std::vector<int64_t> top_indices(const T* values, int64_t count, int64_t k, bool largest);

}  // namespace lotse::emulator
