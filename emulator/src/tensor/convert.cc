#include "tensor/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "runtime/clones.h"
#include "runtime/error.h"
#include "tensor/dtype.h"

namespace lotse::emulator {
namespace {

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};
struct E5M2 {
  uint8_t bits;
};
struct E4M3 {
  uint8_t bits;
};
struct Bool {
  uint8_t bits;
};

// Branch-free, so that loops over them vectorise.
inline float widen(F16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  // Exponent and mantissa scaled by 2^-112 into place; subnormals come out right by the product.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | special | sign);
}

inline float widen(BF16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

inline float widen(E5M2 value) { return widen(F16{static_cast<uint16_t>(value.bits << 8)}); }

inline float widen(E4M3 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x80u) << 24;
  const uint32_t magnitude = value.bits & 0x7fu;
  const float scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
  const uint32_t nan = magnitude == 0x7fu ? 0x7fc00000u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | nan | sign);
}

inline uint16_t narrow_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Normal: rebias, then round to nearest even on the 13 bits that go.
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  // Subnormal: adding 0.5 aligns the mantissa so that the adder rounds.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x477ff000u ? 0x7c00u : result;
  result = magnitude > 0x7f800000u ? 0x7e00u : result;
  return static_cast<uint16_t>(sign | result);
}

inline uint16_t narrow_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const uint32_t nan = bits >> 16 | 0x40u;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// The 8-bit formats: `mantissa` bits, least normal exponent `least`; `largest` is the code of the
// largest number, `beyond` that of what overflows.
inline uint8_t narrow_f8(float value, int mantissa, int least, uint8_t largest, uint8_t beyond,
                         uint8_t nan) {
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 0x80 : 0);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<uint8_t>(sign | nan);
  if (std::isinf(value)) return static_cast<uint8_t>(sign | beyond);
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), least);
  const float steps = std::nearbyint(std::ldexp(magnitude, mantissa - exponent));
  const int code = ((exponent - least) << mantissa) + static_cast<int>(steps);
  return static_cast<uint8_t>(sign | (code > largest ? beyond : static_cast<uint8_t>(code)));
}

template <class Integer, class T>
inline Integer to_integer(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!(value == value)) return 0;
    constexpr auto least = std::numeric_limits<Integer>::min();
    constexpr auto most = std::numeric_limits<Integer>::max();
    if (value <= static_cast<T>(least)) return least;
    if (value >= static_cast<T>(most)) return most;
  }
  return static_cast<Integer>(value);
}

template <class T, class Stored>
inline T decode(Stored value) {
  if constexpr (std::is_same_v<Stored, Bool>) {
    return static_cast<T>(value.bits != 0 ? 1 : 0);
  } else if constexpr (std::is_class_v<Stored>) {
    if constexpr (std::is_integral_v<T>) {
      return to_integer<T>(widen(value));
    } else {
      return static_cast<T>(widen(value));
    }
  } else if constexpr (std::is_integral_v<T>) {
    return to_integer<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

// A double becomes a narrow float by way of float.
template <class Stored, class T>
inline Stored encode(T value) {
  if constexpr (std::is_same_v<Stored, Bool>) {
    return {static_cast<uint8_t>(value != 0 ? 1 : 0)};
  } else if constexpr (std::is_same_v<Stored, F16>) {
    return {narrow_f16(static_cast<float>(value))};
  } else if constexpr (std::is_same_v<Stored, BF16>) {
    return {narrow_bf16(static_cast<float>(value))};
  } else if constexpr (std::is_same_v<Stored, E5M2>) {
    return {narrow_f8(static_cast<float>(value), 2, -14, 0x7b, 0x7c, 0x7e)};
  } else if constexpr (std::is_same_v<Stored, E4M3>) {
    return {narrow_f8(static_cast<float>(value), 3, -6, 0x7e, 0x7e, 0x7f)};
  } else if constexpr (std::is_floating_point_v<Stored>) {
    return static_cast<Stored>(value);
  } else {
    return to_integer<Stored>(value);
  }
}

template <class Stored>
inline Stored read(const std::byte* base, int64_t index) {
  Stored value;
  std::memcpy(&value, base + index * static_cast<int64_t>(sizeof(Stored)), sizeof(Stored));
  return value;
}

template <class Stored>
inline void write(std::byte* base, int64_t index, Stored value) {
  std::memcpy(base + index * static_cast<int64_t>(sizeof(Stored)), &value, sizeof(Stored));
}

template <class Stored, class T>
void load_as(const std::byte* base, int64_t index, int64_t stride, int64_t count, T* values) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) values[i] = decode<T>(read<Stored>(base, index + i));
  } else if (stride == 0) {
    const T value = count > 0 ? decode<T>(read<Stored>(base, index)) : T{};
    for (int64_t i = 0; i < count; ++i) values[i] = value;
  } else {
    for (int64_t i = 0; i < count; ++i) {
      values[i] = decode<T>(read<Stored>(base, index + i * stride));
    }
  }
}

template <class Stored, class T>
void store_as(std::byte* base, int64_t index, int64_t stride, int64_t count, const T* values) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) write(base, index + i, encode<Stored>(values[i]));
  } else {
    for (int64_t i = 0; i < count; ++i) write(base, index + i * stride, encode<Stored>(values[i]));
  }
}

// The hot conversions, contiguous and to float.
LOTSE_CLONES void load_f16(const std::byte* base, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = widen(read<F16>(base, i));
}
LOTSE_CLONES void load_bf16(const std::byte* base, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = widen(read<BF16>(base, i));
}
LOTSE_CLONES void load_i8(const std::byte* base, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(read<int8_t>(base, i));
}
LOTSE_CLONES void store_f16(std::byte* base, int64_t count, const float* values) {
  for (int64_t i = 0; i < count; ++i) write(base, i, narrow_f16(values[i]));
}
LOTSE_CLONES void store_bf16(std::byte* base, int64_t count, const float* values) {
  for (int64_t i = 0; i < count; ++i) write(base, i, narrow_bf16(values[i]));
}

bool load_fast(aclDataType type, const std::byte* base, int64_t index, int64_t count,
               float* values) {
  switch (type) {
    case ACL_FLOAT16:
      load_f16(base + index * 2, count, values);
      return true;
    case ACL_BF16:
      load_bf16(base + index * 2, count, values);
      return true;
    case ACL_INT8:
      load_i8(base + index, count, values);
      return true;
    case ACL_FLOAT:
      std::memcpy(values, base + index * 4, static_cast<size_t>(count) * 4);
      return true;
    default:
      return false;
  }
}

bool store_fast(aclDataType type, std::byte* base, int64_t index, int64_t count,
                const float* values) {
  switch (type) {
    case ACL_FLOAT16:
      store_f16(base + index * 2, count, values);
      return true;
    case ACL_BF16:
      store_bf16(base + index * 2, count, values);
      return true;
    case ACL_FLOAT:
      std::memcpy(base + index * 4, values, static_cast<size_t>(count) * 4);
      return true;
    default:
      return false;
  }
}

template <class T>
void load_int4(const std::byte* base, int64_t index, int64_t stride, int64_t count, T* values) {
  const auto element = [&](int64_t at) {
    const auto byte = static_cast<unsigned>(base[at / 2]);
    const int nibble = static_cast<int>(at % 2 == 0 ? byte & 15u : byte >> 4);
    return static_cast<T>((nibble ^ 8) - 8);
  };
  int64_t i = 0;
  if (stride == 1 && count > 1) {  // whole bytes, two elements at a time
    if (index % 2 != 0) values[i++] = element(index);
    const std::byte* bytes = base + (index + i) / 2;
    for (; i + 1 < count; i += 2, ++bytes) {
      const int byte = static_cast<int>(*bytes);
      values[i] = static_cast<T>(((byte & 15) ^ 8) - 8);
      values[i + 1] = static_cast<T>(((byte >> 4) ^ 8) - 8);
    }
  }
  for (; i < count; ++i) values[i] = element(index + i * stride);
}

template <class T>
void store_int4(std::byte* base, int64_t index, int64_t stride, int64_t count, const T* values) {
  for (int64_t i = 0; i < count; ++i, index += stride) {
    int64_t number = 0;
    if constexpr (std::is_floating_point_v<T>) {
      number = to_integer<int64_t>(std::min(std::max(values[i], T{-8}), T{7}));
    } else {
      number = static_cast<int64_t>(values[i]);
    }
    const auto nibble = static_cast<unsigned>(number) & 15u;
    const auto byte = static_cast<unsigned>(base[index / 2]);
    base[index / 2] = static_cast<std::byte>(index % 2 == 0 ? (byte & 0xf0u) | nibble
                                                            : (byte & 15u) | nibble << 4);
  }
}

// Calls `visit` with an object of the stored type.
template <class Visit>
void with_stored_type(aclDataType type, Visit&& visit) {
  switch (type) {
    case ACL_FLOAT:
      return visit(float{});
    case ACL_FLOAT16:
      return visit(F16{});
    case ACL_BF16:
      return visit(BF16{});
    case ACL_DOUBLE:
      return visit(double{});
    case ACL_INT8:
      return visit(int8_t{});
    case ACL_INT16:
      return visit(int16_t{});
    case ACL_INT32:
      return visit(int32_t{});
    case ACL_INT64:
      return visit(int64_t{});
    case ACL_UINT8:
      return visit(uint8_t{});
    case ACL_UINT16:
      return visit(uint16_t{});
    case ACL_UINT32:
      return visit(uint32_t{});
    case ACL_UINT64:
      return visit(uint64_t{});
    case ACL_BOOL:
      return visit(Bool{});
    case ACL_FLOAT8_E5M2:
      return visit(E5M2{});
    case ACL_FLOAT8_E4M3FN:
      return visit(E4M3{});
    default:
      fail(kInvalidArgument, "{} is not emulated", name_of(type));
  }
}

}  // namespace

template <class T>
void load_run(aclDataType type, const std::byte* base, int64_t index, int64_t stride, int64_t count,
              T* values) {
  if constexpr (std::is_same_v<T, float>) {
    if (stride == 1 && load_fast(type, base, index, count, values)) return;
  }
  if (type == ACL_INT4) return load_int4(base, index, stride, count, values);
  with_stored_type(
      type, [&]<class Stored>(Stored) { load_as<Stored>(base, index, stride, count, values); });
}

template <class T>
void store_run(aclDataType type, std::byte* base, int64_t index, int64_t stride, int64_t count,
               const T* values) {
  if constexpr (std::is_same_v<T, float>) {
    if (stride == 1 && store_fast(type, base, index, count, values)) return;
  }
  if (type == ACL_INT4) return store_int4(base, index, stride, count, values);
  with_stored_type(
      type, [&]<class Stored>(Stored) { store_as<Stored>(base, index, stride, count, values); });
}

void round_run(aclDataType type, int64_t count, float* values) {
  constexpr int64_t kRun = 128;
  std::byte stored[sizeof(double) * kRun];
  for (int64_t i = 0; i < count; i += kRun) {
    const int64_t run = std::min(kRun, count - i);
    store_run(type, stored, 0, 1, run, values + i);
    load_run(type, stored, 0, 1, run, values + i);
  }
}

#define LOTSE_INSTANTIATE(T)                                                            \
  template void load_run(aclDataType, const std::byte*, int64_t, int64_t, int64_t, T*); \
  template void store_run(aclDataType, std::byte*, int64_t, int64_t, int64_t, const T*);
LOTSE_INSTANTIATE(float)
LOTSE_INSTANTIATE(double)
LOTSE_INSTANTIATE(int32_t)
LOTSE_INSTANTIATE(int64_t)
#undef LOTSE_INSTANTIATE

}  // namespace lotse::emulator
