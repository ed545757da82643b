// Runs of elements between a tensor's data type and the types in which operators compute: float,
// double, int32_t and int64_t. Conversion to a narrower float rounds to nearest, ties to even;
// float to integer truncates and saturates (NaN gives 0); integers wrap. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acl/acl.h"
#include "runtime/api.h"

namespace lotse::emulator {

// `count` elements of `type` from `base`, the first at element `index` and then each `stride`
// elements on. INT4 elements are half bytes, the even one in the low half.
template <class T>
LOTSE_EMULATOR_API void load_run(aclDataType type, const std::byte* base, int64_t index,
                                 int64_t stride, int64_t count, T* values);
template <class T>
LOTSE_EMULATOR_API void store_run(aclDataType type, std::byte* base, int64_t index, int64_t stride,
                                  int64_t count, const T* values);

// Floats rounded to `type` and back, in place.
LOTSE_EMULATOR_API void round_run(aclDataType type, int64_t count, float* values);

}  // namespace lotse::emulator
