// Quantisation to integers, and a scale with its offset as the matrix unit takes them.
#pragma once

#include <bit>
#include <cstdint>

namespace lotse::emulator {

// Rounded half to even, within bounds.
float whole_within(float value, float least, float most);

// `values` become integers within ±most, x · (most / max|x|); returns the scale max|x| / most. Of
// zeros: 0; with an infinity or NaN: NaN.
float quantise_symmetric(float* values, int64_t count, float most);

// UINT64: the scale's sign, exponent and 10 bits of mantissa in bits 13 to 31; bit 46 set; an
// offset of nine bits from bit 37 on.
inline int64_t pack_scale(float scale, int64_t offset) {
  const int64_t bits = std::bit_cast<uint32_t>(scale) & 0xffffe000u;
  return bits | int64_t{1} << 46 | (offset & 0x1ff) << 37;
}

inline float packed_scale(int64_t packed) {
  return std::bit_cast<float>(static_cast<uint32_t>(packed & 0xffffffff));
}

inline int64_t packed_offset(int64_t packed) {
  return (packed >> 37 & 0xff) - (packed >> 37 & 0x100);
}

}  // namespace lotse::emulator
