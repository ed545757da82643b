// The JSON files of an artifact that other programs read: config.json with a `quantization_config`
// as compressed-tensors defines it, and the index of the weight files.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "port/legalise.h"

namespace lotse {

// The source's configuration with dtype and quantisation of the plan. `unquantised` are the linear
// modules that a reader must leave alone (compressed-tensors' `ignore`).
std::string artifact_config(const Json& source, const PortPlan& plan,
                            const std::vector<std::string>& unquantised);

// model.safetensors.index.json; empty for a plan with a single weight file.
std::string shard_index(const PortPlan& plan);

}  // namespace lotse
