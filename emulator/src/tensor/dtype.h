// What the emulator knows of each data type.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "runtime/api.h"
#include "runtime/dtype_set.h"

namespace lotse::emulator {

inline constexpr DtypeSet kHalf = {ACL_FLOAT16, ACL_BF16};
inline constexpr DtypeSet kFloating = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE};
inline constexpr DtypeSet kFloat8 = {ACL_FLOAT8_E5M2, ACL_FLOAT8_E4M3FN};
inline constexpr DtypeSet kSignedInteger = {ACL_INT8, ACL_INT16, ACL_INT32, ACL_INT64};
inline constexpr DtypeSet kInteger =
    kSignedInteger | DtypeSet{ACL_UINT8, ACL_UINT16, ACL_UINT32, ACL_UINT64};
inline constexpr DtypeSet kBool = {ACL_BOOL};
inline constexpr DtypeSet kIndex = {ACL_INT32, ACL_INT64};
inline constexpr DtypeSet kNumeric = kFloating | kInteger;
inline constexpr DtypeSet kAnyDtype = kNumeric | kBool | kFloat8 | DtypeSet{ACL_INT4};

// "FLOAT16"; "dtype 99" for a value that is none.
LOTSE_EMULATOR_API std::string name_of(aclDataType type);
// "FLOAT, FLOAT16, BF16"
LOTSE_EMULATOR_API std::string names_of(DtypeSet types);

// Bits an element takes in memory; 0 for a type that tensors cannot hold here.
LOTSE_EMULATOR_API int64_t bits_of(aclDataType type);

// Bytes of `count` consecutive elements.
inline int64_t bytes_of(aclDataType type, int64_t count) { return (count * bits_of(type) + 7) / 8; }

inline bool is_floating(aclDataType type) { return (kFloating | kFloat8).contains(type); }

// The type of a result of both, as the operators promote: wider of two floats or two integers, and
// a float beats an integer. FLOAT16 and BF16 give FLOAT.
LOTSE_EMULATOR_API aclDataType promoted(aclDataType a, aclDataType b);

}  // namespace lotse::emulator
