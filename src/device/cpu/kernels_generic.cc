// Kernels for any processor, on four-lane vectors that every compiler lowers to what there is.
#include "device/cpu/kernels.h"

namespace lotse::cpu {
namespace {

constexpr int kLanes = 4;
constexpr int64_t kBf16Bytes = 4;
constexpr int64_t kInt8Bytes = 2;
constexpr int32_t kInt8Offset = 0;
constexpr int kMaxRows = 4;
constexpr int kWide = 2;
constexpr int kSingleWide = 8;
typedef float F __attribute__((vector_size(16)));
typedef int32_t I __attribute__((vector_size(16)));

#include "device/cpu/vector_basics.inc"

inline F fma(F a, F b, F c) { return a * b + c; }

// Adding 1.5 · 2^23 leaves the integer in the low bits, for |x| < 2^22.
constexpr float kRounder = 12582912.0f;
inline F round_even(F x) { return (x + kRounder) - kRounder; }
inline I to_int(F x) { return bits(x + kRounder) - 0x4b400000; }

inline float reduce_add(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }

inline float reduce_max(F v) {
  const float a = v[0] > v[2] ? v[0] : v[2];
  const float b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}

inline I load_u16(const void* p) {
  typedef uint16_t Narrow __attribute__((vector_size(8)));
  Narrow narrow;
  __builtin_memcpy(&narrow, p, sizeof narrow);
  return __builtin_convertvector(narrow, I);
}

inline F load_bf16(const uint16_t* p) { return as_float(load_u16(p) << 16); }

inline F load_f16(const uint16_t* p) {
  const I half = load_u16(p);
  const I magnitude = (half & 0x7fff) << 13;
  // A product with 2^112 moves the exponent's bias, subnormal numbers included.
  const I finite = bits(as_float(magnitude) * 5.192296858534828e33f);
  const I word = (half & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : finite;
  return as_float(word | ((half & 0x8000) << 16));
}

inline uint16_t to_f16(float x) {
  uint32_t word;
  __builtin_memcpy(&word, &x, sizeof word);
  const uint32_t sign = (word >> 16) & 0x8000u;
  const uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude >= 0x38800000u) {
    const uint32_t rebased = magnitude - 0x38000000u;
    return static_cast<uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
  }
  // Subnormal: at 0.5 the spacing of fp32 is that of subnormal halves.
  float small;
  __builtin_memcpy(&small, &magnitude, sizeof small);
  small += 0.5f;
  __builtin_memcpy(&word, &small, sizeof word);
  return static_cast<uint16_t>(sign | (word - 0x3f000000u));
}

inline void store_f16(F v, uint16_t* p) {
  for (int i = 0; i < kLanes; ++i) p[i] = to_f16(v[i]);
}

inline void store_bf16_activation(F v, char* p, int64_t lanes) {
  const F rounded = as_float(bf16_bits(v) << 16);
  __builtin_memcpy(p, &rounded, static_cast<uint64_t>(lanes) * 4);
}

inline void store_int8_activation(I v, char* p, int64_t lanes) {
  typedef int16_t Narrow __attribute__((vector_size(8)));
  const Narrow narrow = __builtin_convertvector(v, Narrow);
  __builtin_memcpy(p, &narrow, static_cast<uint64_t>(lanes) * 2);
}

#include "device/cpu/dots.inc"

using DotBf16 = DotBf16Wide;

// Two depths of int8 to a lane; activations are pairs of int16.
struct DotW8 {
  using Acc = I;
  using Weight = I;
  struct Pair {
    int32_t even;
    int32_t odd;
  };
  static constexpr int kHalves = 1;
  static constexpr int kVectorBytes = 2 * kLanes;
  static constexpr int kDepth = 2;
  static constexpr int kActivationBytes = 4;
  static I weight(const char* p, int) { return load_u16(p); }
  static Pair activation(const char* p) {
    int16_t pair[2];
    __builtin_memcpy(pair, p, sizeof pair);
    return {pair[0], pair[1]};
  }
  static I multiply_add(I acc, I w, Pair x) {
    return acc + ((w << 24) >> 24) * x.even + ((w << 16) >> 24) * x.odd;
  }
};

// Four depths of int4 to a lane: the low nibbles of two bytes, then the high ones.
struct DotW4 : DotW8 {
  static constexpr int kHalves = 2;
  static I weight(const char* p, int half) { return (load_u16(p) >> (4 * half)) & 0x0f0f; }
};

#include "device/cpu/unpack.inc"

#include "device/cpu/bodies.inc"

}  // namespace

constinit const KernelTable kGenericKernels = make_table("generic", "portable vectors", 2);

}  // namespace lotse::cpu
