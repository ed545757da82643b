// Kernels for AVX-512 (F, BW, DQ, VL) with VNNI and BF16. int8 weights are stored unsigned (plus
// 128) for vpdpbusd, whose 32-bit sums wrap and so stay exact; the activations' sum takes the
// surplus off again.
#include <immintrin.h>

#include "device/cpu/kernels.h"

namespace lotse::cpu {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kBf16Bytes = 2;
constexpr int64_t kInt8Bytes = 1;
constexpr int32_t kInt8Offset = 128;
constexpr int kMaxRows = 6;
constexpr int kWide = 4;
constexpr int kSingleWide = 4;
typedef float F __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));

#include "device/cpu/vector_basics.inc"

inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F round_even(F x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline I to_int(F x) { return (I)_mm512_cvtps_epi32(x); }
inline float reduce_add(F v) { return _mm512_reduce_add_ps(v); }
inline float reduce_max(F v) { return _mm512_reduce_max_ps(v); }

inline F load_bf16(const uint16_t* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return as_float((I)_mm512_cvtepu16_epi32(half) << 16);
}
inline F load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store_f16(F v, uint16_t* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

inline __mmask16 first_lanes(int64_t lanes) {
  return static_cast<__mmask16>(lanes >= kLanes ? 0xffff : (1 << lanes) - 1);
}

inline void store_bf16_activation(F v, char* p, int64_t lanes) {
  _mm512_mask_cvtepi32_storeu_epi16(p, first_lanes(lanes), (__m512i)bf16_bits(v));
}

inline void store_int8_activation(I v, char* p, int64_t lanes) {
  _mm512_mask_cvtepi32_storeu_epi8(p, first_lanes(lanes), (__m512i)v);
}

#include "device/cpu/dots.inc"

inline __m512i splat_word(const char* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}

// Two depths of bf16 to a lane.
struct DotBf16 {
  using Acc = F;
  using Weight = __m512i;
  static constexpr int kHalves = 1;
  static constexpr int kVectorBytes = 64;
  static constexpr int kDepth = 2;
  static constexpr int kActivationBytes = 4;
  static __m512i weight(const char* p, int) { return _mm512_loadu_si512(p); }
  static __m512i activation(const char* p) { return splat_word(p); }
  static F multiply_add(F acc, __m512i w, __m512i x) {
    return _mm512_dpbf16_ps(acc, (__m512bh)w, (__m512bh)x);
  }
};

// Four depths of int8 to a lane.
struct DotW8 {
  using Acc = I;
  using Weight = __m512i;
  static constexpr int kHalves = 1;
  static constexpr int kVectorBytes = 64;
  static constexpr int kDepth = 4;
  static constexpr int kActivationBytes = 4;
  static __m512i weight(const char* p, int) { return _mm512_loadu_si512(p); }
  static __m512i activation(const char* p) { return splat_word(p); }
  static I multiply_add(I acc, __m512i w, __m512i x) {
    return (I)_mm512_dpbusd_epi32((__m512i)acc, w, x);
  }
};

// Eight depths of int4 to a lane: the low nibbles of four bytes, then the high ones.
struct DotW4 : DotW8 {
  static constexpr int kHalves = 2;
  static __m512i weight(const char* p, int half) {
    const __m512i both = _mm512_loadu_si512(p);
    return _mm512_and_si512(half == 0 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
  }
};

// vpermps looks at the low four bits of each index only.
inline F nibble_to_float(I word) {
  const F values = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  return _mm512_permutexvar_ps((__m512i)word, values);
}

inline I pack_bf16_pair(F even, F odd) {
  typedef int16_t S __attribute__((vector_size(64)));
  const S order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const auto packed = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
  return (I)_mm512_permutexvar_epi16((__m512i)order, packed);
}

#include "device/cpu/bodies.inc"

}  // namespace

constinit const KernelTable kAvx512Kernels = make_table("avx512", "AVX-512 (VNNI, BF16)", 4);

}  // namespace lotse::cpu
