// What the products of floats have in common: cubeMathType, and shapes with batches.
#pragma once

#include "ops/matmul_kernel.h"
#include "ops/op.h"

namespace lotse::emulator {

inline constexpr DtypeSet kMatmulDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// How inputs of `dtype` are taken under `cubeMathType` on this chip; refuses what it lacks.
InputRounding input_rounding(const Op& op, int8_t cubeMathType, aclDataType dtype);

// The matrix unit's rate for such inputs.
CubeRate cube_rate(aclDataType dtype, InputRounding rounding);

// out [b…, m, n] = a [b…, m, k] × b [b…, k, n] of equal batches, with one rounding at the end.
void multiply_batches(const View& a, const View& b, const View& out, InputRounding rounding);

}  // namespace lotse::emulator
