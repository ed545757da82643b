// Neighbouring operators of a program that are one on the device.
#pragma once

#include <vector>

#include "device/ascend/prepared_weight.h"
#include "device/program.h"

namespace lotse::ascend {

enum class Fusion : uint8_t {
  none,
  add_norm,        // an addition and the norm of its sum
  add_norm_quant,  // the same, and the norm is quantised by tokens: only INT8 products read it
  norm_quant,      // such a norm without an addition before it
  swiglu_quant,    // an INT8 product into INT32, and its gated activation, quantised likewise
};

// A quantised value is its numbers, then, aligned to so many bytes, a scale a token.
inline constexpr int64_t kScaleAlignment = 32;

// How many operators of the program it runs.
size_t length_of(Fusion fusion);

struct Fusions {
  std::vector<Fusion> at;          // of each operator, what begins there
  std::vector<bool> is_quantised;  // of each value, whether it exists in INT8 with scales only
};

// Which operators that quantise a device has.
struct Quantising {
  bool of_sum = false;    // of the norm of a sum
  bool of_norm = false;   // of a norm without an addition: where a number's double has room
  bool of_gated = false;  // of an INT8 product's gated activation
};

// Tries the operators on one row: toolkits have them for some chips only, and say so when asked.
// `type` is that of activations.
Result<Quantising> find_quantising(Queue& queue, AclType type);

// What is possible with these weights.
Fusions find_fusions(const Program& program, const std::vector<PreparedWeight>& weights,
                     Quantising quantising);

// The program for planning its buffers: what a fused norm's addition reads lives until the norm is
// done, which would else be written over it.
Program with_longer_lives(const Program& program, const Fusions& fusions);

}  // namespace lotse::ascend
