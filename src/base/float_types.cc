#include "base/float_types.h"

#include <array>
#include <cmath>
#include <limits>

namespace lotse {
namespace {

// Value of a small float with the given field widths, for finite encodings only.
float decode_small(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const uint32_t exponent = (bits >> mantissa_bits) & ((1u << exponent_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const bool negative = ((bits >> (exponent_bits + mantissa_bits)) & 1u) != 0;
  const float fraction = static_cast<float>(mantissa) / static_cast<float>(1u << mantissa_bits);
  const float magnitude = exponent == 0
                              ? std::ldexp(fraction, 1 - bias)
                              : std::ldexp(1.0f + fraction, static_cast<int>(exponent) - bias);
  return negative ? -magnitude : magnitude;
}

}  // namespace

float fp16_to_float(uint16_t bits) {
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  if (exponent != 0x1f) return decode_small(bits, 5, 10);
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t mantissa = static_cast<uint32_t>(bits & 0x3ffu) << 13;
  return std::bit_cast<float>(sign | 0x7f800000u | mantissa);
}

uint16_t float_to_fp16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 places the value so that the hardware rounds at 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

float e4m3_to_float(uint8_t bits) {
  if ((bits & 0x7fu) == 0x7fu) return std::numeric_limits<float>::quiet_NaN();
  return decode_small(bits, 4, 3);
}

uint8_t float_to_e4m3(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7f);
  const float magnitude = std::fabs(value);
  if (magnitude >= 448.0f) return static_cast<uint8_t>(sign | 0x7e);
  if (magnitude < std::ldexp(1.0f, -6)) {
    return static_cast<uint8_t>(sign | static_cast<int>(std::nearbyint(std::ldexp(magnitude, 9))));
  }
  const uint32_t raw = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = raw + 0x7ffffu + ((raw >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - ((127u - 7u) << 3)));
}

float e5m2_to_float(uint8_t bits) { return fp16_to_float(static_cast<uint16_t>(bits << 8)); }

float e8m0_to_float(uint8_t bits) {
  if (bits == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, static_cast<int>(bits) - 127);
}

float e2m1_to_float(uint8_t bits) { return decode_small(bits & 0xfu, 2, 1); }

}  // namespace lotse
