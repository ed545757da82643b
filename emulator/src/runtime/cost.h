// What a task costs on the emulated chip, and the roofline that turns it into time.
#pragma once

#include <cstdint>

#include "runtime/api.h"

namespace lotse::emulator {

enum class CubeRate { f32, hf32, f16, i8, i4 };
enum class Launch { none, other, matmul, quantised_matmul, attention };
enum class Limit { none, launch, memory, cube, vector, link };

struct Cost {
  double cube_ops = 0;  // multiplications and additions on the matrix unit
  CubeRate cube_rate = CubeRate::f16;
  double vector_ops = 0;  // operations of one lane on the vector units
  double bytes = 0;       // moved from and to device memory
  Launch launch = Launch::none;
  double fixed_us = 0;  // a known duration, such as a transfer over a link; the least it takes
};

struct Duration {
  double us = 0;
  Limit limit = Limit::none;
};

LOTSE_EMULATOR_API Duration duration_of(const Cost& cost);
const char* name_of(Limit limit);

// A copy between host and device.
LOTSE_EMULATOR_API Cost host_link_cost(uint64_t bytes);

}  // namespace lotse::emulator
