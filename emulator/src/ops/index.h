// Signed positions as the standard library's containers take them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lotse::emulator {

inline size_t at(int64_t index) { return static_cast<size_t>(index); }

}  // namespace lotse::emulator
