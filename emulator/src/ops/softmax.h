// Softmax of one row, in place.
#pragma once

#include <cstdint>

namespace lotse::emulator {

// All of -infinity or with a NaN: NaN throughout.
void softmax_row(float* values, int64_t count);

}  // namespace lotse::emulator
