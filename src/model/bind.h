// From checkpoint tensors to the weights that a program names.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/weight_source.h"
#include "device/program.h"
#include "device/weight.h"

namespace lotse {

// What `quantization_config` says about the linear weights of a checkpoint.
struct Quantisation {
  std::string method;                        // "" (none) or "compressed-tensors"
  WeightFormat format = WeightFormat::bf16;  // of the quantised linears: w8a8, w4a16 or w4a8
  int64_t group = 0;                         // columns a scale, int4 only
};

// Reads and checks `quantization_config` of a config.json (none when absent). Lotse computes in
// compressed-tensors' int-quantized W8A8 and pack-quantized W4A16 and W4A8; anything else is an
// `unsupported` error that names what is supported.
Result<Quantisation> read_quantisation(const Json& config, const std::string& origin);

// Binds one weight per program.weights, as views of `source` wherever possible. Plain floats keep
// their type, GGUF blocks become f16 (their values need at most 11 bits of mantissa times a scale;
// the rounding is below 2⁻¹¹ of each value), vectors become f32. A tensor that is missing or has
// another shape is an error that names tensor, expected and actual shape.
Result<std::vector<Weight>> bind_weights(const Program& program, const WeightSource& source,
                                         const Quantisation& quantisation);

}  // namespace lotse
