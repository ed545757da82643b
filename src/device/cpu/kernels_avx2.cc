// Kernels for AVX2 with FMA and F16C. Without VNNI, int8 products are widened to int16 and summed
// in pairs by vpmaddwd, which is right for weights of −128 too (the vpmaddubsw sign trick is not).
#include <immintrin.h>

#include "device/cpu/kernels.h"

namespace lotse::cpu {
namespace {

constexpr int kLanes = 8;
constexpr int64_t kBf16Bytes = 4;
constexpr int64_t kInt8Bytes = 2;
constexpr int32_t kInt8Offset = 0;
constexpr int kMaxRows = 6;
constexpr int kWide = 2;
constexpr int kSingleWide = 8;
typedef float F __attribute__((vector_size(32)));
typedef int32_t I __attribute__((vector_size(32)));

#include "device/cpu/vector_basics.inc"

inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }

inline F round_even(F x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline I to_int(F x) { return (I)_mm256_cvtps_epi32(x); }

inline float reduce_add(F v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline float reduce_max(F v) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

inline F load_bf16(const uint16_t* p) {
  return as_float((I)_mm256_cvtepu16_epi32(load128(p)) << 16);
}
inline F load_f16(const uint16_t* p) { return _mm256_cvtph_ps(load128(p)); }
inline void store_f16(F v, uint16_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

inline void store_bf16_activation(F v, char* p, int64_t lanes) {
  const F rounded = as_float(bf16_bits(v) << 16);
  store(rounded, reinterpret_cast<float*>(p), lanes);
}

inline void store_int8_activation(I v, char* p, int64_t lanes) {
  typedef int16_t Narrow __attribute__((vector_size(16)));
  const Narrow narrow = __builtin_convertvector(v, Narrow);
  __builtin_memcpy(p, &narrow, static_cast<uint64_t>(lanes < kLanes ? lanes : kLanes) * 2);
}

#include "device/cpu/dots.inc"

using DotBf16 = DotBf16Wide;

// Two depths of int8 to a lane; activations are pairs of int16.
struct DotW8 {
  using Acc = I;
  using Weight = I;
  static constexpr int kHalves = 1;
  static constexpr int kVectorBytes = 2 * kLanes;
  static constexpr int kDepth = 2;
  static constexpr int kActivationBytes = 4;
  static I weight(const char* p, int) { return (I)_mm256_cvtepi8_epi16(load128(p)); }
  static I activation(const char* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return splat(pair);
  }
  static I multiply_add(I acc, I w, I x) {
    return acc + (I)_mm256_madd_epi16((__m256i)w, (__m256i)x);
  }
};

// Four depths of int4 to a lane: the low nibbles of two bytes, then the high ones.
struct DotW4 : DotW8 {
  static constexpr int kHalves = 2;
  static I weight(const char* p, int half) {
    const __m128i shifted = half == 0 ? load128(p) : _mm_srli_epi16(load128(p), 4);
    return (I)_mm256_cvtepu8_epi16(_mm_and_si128(shifted, _mm_set1_epi8(15)));
  }
};

#include "device/cpu/unpack.inc"

#include "device/cpu/bodies.inc"

}  // namespace

constinit const KernelTable kAvx2Kernels = make_table("avx2", "AVX2", 2);

}  // namespace lotse::cpu
