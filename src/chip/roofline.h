// The least time one operator can take on a device: the roofline model with achieved efficiencies.
#pragma once

#include "base/result.h"
#include "chip/profile.h"

namespace lotse {

// Selects efficiencies and launch floor.
enum class OperatorClass { matmul, quantised_matmul, attention, other };

struct OperatorCost {
  double flops = 0;  // multiply and add count as two
  MathType math = MathType::vector;
  double bytes_read = 0;
  double bytes_written = 0;
  OperatorClass group = OperatorClass::other;
};

enum class Limit { compute, vector, memory, launch };
std::string_view name(Limit limit);

struct Time {
  double seconds = 0;
  Limit limited_by = Limit::launch;
};

// Time of `cost`, divided evenly over `devices` devices (two on a whole 910C), without the
// communication between them. Efficiencies that the profile lacks count as 1, so the result is then
// a lower bound; an unknown vector rate never limits. Errors: unsupported when the profile lacks
// the memory bandwidth or the peak of the matrix type.
Result<Time> roofline(const ChipProfile& chip, const OperatorCost& cost, int64_t devices = 1);

}  // namespace lotse
