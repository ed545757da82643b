// Two models, or one model on two devices, compared operator by operator.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "verify/compare.h"

namespace lotse {

// One operator of the program, over all tokens compared.
struct OperatorDeparture {
  std::string name;        // "layers.3.qkv"
  std::string kind;        // "linear"
  Departure same_inputs;   // the operator alone: it read what the original's operator read
  Departure running_free;  // with everything that happened before it
  double tolerance = 0;    // of same_inputs.relative_error
  bool passed() const { return same_inputs.finite && same_inputs.relative_error <= tolerance; }
};

// Runs `tokens` through both engines, whose programs must have the same operators: once with every
// value of the original put in place of the ported one's after it was compared, once running free.
// Tokens beyond one step of either engine are an error. The result is in program order.
Result<std::vector<OperatorDeparture>> compare_operators(Engine& ported, Engine& original,
                                                         std::span<const int32_t> tokens);

// What an operator may depart by: its own matrices' narrowest format decides, bf16 where it has
// none.
double tolerance_of(const Op& op, const Model& model);

// The narrowest format among a model's matrices: it decides the tolerances.
WeightFormat narrowest_format(const Model& model);

}  // namespace lotse
