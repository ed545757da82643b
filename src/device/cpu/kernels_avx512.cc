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

// Where a nibble of a word lies after one of three shifts, and that shift (negative: left).
struct Nibble {
  int shift;
  int position;
};
constexpr Nibble kNibbles[8] = {{-8, 8}, {-8, 12}, {0, 8},   {0, 12},
                                {0, 16}, {12, 8},  {12, 12}, {12, 16}};

// What turns a nibble u left in the mantissa at one position into (u − 8) · scale: with the
// exponent of 1 in front it reads 1 + u · 2^(position − 23), and one exact fused multiply-add does
// the rest.
struct Affine {
  F factor;
  F offset;
};

inline F scaled_nibble(I shifted, int position, const Affine& affine) {
  const __m512i mask = _mm512_set1_epi32(15 << position);
  const __m512i one = _mm512_set1_epi32(0x3f800000);
  // (shifted & mask) | one
  const I word = (I)_mm512_ternarylogic_epi32((__m512i)shifted, mask, one, 0xea);
  return fma(as_float(word), affine.factor, affine.offset);
}

inline void make_affine(const float* scales, Affine (&affine)[3]) {
  const I twice = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};
  const __m256 eight = _mm256_loadu_ps(scales);
  const F scale = _mm512_permutexvar_ps((__m512i)twice, _mm512_castps256_ps512(eight));
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    const auto unit = static_cast<float>(1 << (15 - 4 * i));  // 2^(23 − position), 8 + 4 i
    affine[i] = {scale * unit, -(scale * (unit + 8.0f))};
  }
}

inline I shift_by(I words, int shift) { return shift < 0 ? words << -shift : words >> shift; }

// Pair j of 16 columns: words `a` hold the first eight, `b` the others.
inline __m512i unpack_pair(I a, I b, int j, const Affine (&low)[3], const Affine (&high)[3]) {
  const Nibble n = kNibbles[j];
  const int i = (n.position - 8) / 4;
  const F first = scaled_nibble(shift_by(a, n.shift), n.position, low[i]);
  const F second = scaled_nibble(shift_by(b, n.shift), n.position, high[i]);
  return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

void unpack_pairs(const char* packed, const float* scales, int64_t steps, char* pairs) {
  for (int64_t c = 0; c < kPanel; c += kLanes) {
    Affine low[3];
    Affine high[3];
    make_affine(scales + c, low);
    make_affine(scales + c + 8, high);
    for (int64_t s = 0; s < steps; ++s) {
      const char* from = packed + s * kPanel * 8 + c * 8;
      const I a = (I)_mm512_loadu_si512(from);
      const I b = (I)_mm512_loadu_si512(from + 64);
      char* to = pairs + s * 8 * kPanel * 4 + c * 4;
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        _mm512_storeu_si512(to + j * kPanel * 4, unpack_pair(a, b, j, low, high));
      }
    }
  }
}

#include "device/cpu/bodies.inc"

// w4a16 for a few rows: each pair is multiplied as soon as it is unpacked, in the same order.
constexpr int64_t kFewRows = 3;
constexpr int kVectors = kPanel / kLanes;

// sums[r][v] += Σ over steps of 16 depths that share the scales.
template <int R>
inline void multiply_nibbles(const char* packed, const float* scales, int64_t steps, const char* x,
                             int64_t x_stride, F (&sums)[R][kVectors]) {
  Affine affine[kVectors][2][3];
  for (int v = 0; v < kVectors; ++v) {
    make_affine(scales + v * kLanes, affine[v][0]);
    make_affine(scales + v * kLanes + 8, affine[v][1]);
  }
  for (int64_t s = 0; s < steps; ++s, packed += kPanel * 8, x += 16 * kBf16Bytes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const I a = (I)_mm512_loadu_si512(packed + v * 128);
      const I b = (I)_mm512_loadu_si512(packed + v * 128 + 64);
      __builtin_prefetch(packed + v * 128 + kPrefetchAhead);
      __builtin_prefetch(packed + v * 128 + 64 + kPrefetchAhead);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        const __m512i pair = unpack_pair(a, b, j, affine[v][0], affine[v][1]);
#pragma GCC unroll 3
        for (int r = 0; r < R; ++r) {
          const auto activation = DotBf16::activation(x + r * x_stride + j * 4);
          sums[r][v] = DotBf16::multiply_add(sums[r][v], pair, activation);
        }
      }
    }
  }
}

template <int R>
inline void multiply_few_rows(const LinearArgs& args, const PanelView& panel) {
  F sums[R][kVectors] = {};
  for (int64_t k = 0; k < args.depth; k += args.group) {
    const int64_t left = args.depth - k;
    multiply_nibbles<R>(panel.weights + k * kPanel / 2, panel.scales + k / args.group * kPanel,
                        (left < args.group ? left : args.group) / 16,
                        static_cast<const char*>(args.x) + k * kBf16Bytes, args.x_stride, sums);
  }
  for (int r = 0; r < R; ++r) store_output(args, panel, r, 0, sums[r]);
}

void linear_w4a16_avx512(const LinearArgs& args) {
  if (args.rows > kFewRows) return linear_w4a16(args);
  const int64_t groups = (args.depth + args.group - 1) / args.group;
  over_panels(args, args.depth * kPanel / 2, groups, [&](const PanelView& panel) {
    switch (args.rows) {
      case 1:
        multiply_few_rows<1>(args, panel);
        break;
      case 2:
        multiply_few_rows<2>(args, panel);
        break;
      case 3:
        multiply_few_rows<3>(args, panel);
        break;
      default:
        break;
    }
  });
}

}  // namespace

constinit const KernelTable kAvx512Kernels = [] {
  KernelTable table = make_table("avx512", "AVX-512 (VNNI, BF16)", 4);
  table.linear_w4a16 = linear_w4a16_avx512;
  return table;
}();

}  // namespace lotse::cpu
