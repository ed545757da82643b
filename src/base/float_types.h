// Conversions between float and the narrow floating-point formats of checkpoints and devices.
// All conversions to a narrower type round to nearest, ties to even, and keep NaN a NaN.
// Everything here is pure and thread-safe.
#pragma once

#include <bit>
#include <cstdint>

namespace lotse {

inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float round_to_bf16(float value) { return bf16_to_float(float_to_bf16(value)); }

// IEEE 754 binary16.
float fp16_to_float(uint16_t bits);
uint16_t float_to_fp16(float value);

// OCP 8-bit floats. E4M3 is the "FN" variant: no infinity, 0x7f and 0xff are NaN, largest 448.
// float_to_e4m3 saturates; E5M2 follows IEEE (overflow becomes infinity).
float e4m3_to_float(uint8_t bits);
uint8_t float_to_e4m3(float value);
float e5m2_to_float(uint8_t bits);

// OCP MX shared scale: 2^(bits − 127); 0xff is NaN.
float e8m0_to_float(uint8_t bits);

// OCP FP4 (E2M1), the low four bits of `bits`: ±{0, 0.5, 1, 1.5, 2, 3, 4, 6}.
float e2m1_to_float(uint8_t bits);

}  // namespace lotse
