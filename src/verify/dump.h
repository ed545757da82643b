// Activations recorded on the Nvidia side by tools/record_activations.py, compared with a port.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/engine.h"
#include "verify/operators.h"

namespace lotse {

// Runs the dump's input_ids through the engine and compares every value that the dump has, running
// free, in program order. The dump's names: model.embed.output, model.layers.<i>.self_attn.output,
// model.layers.<i>.mlp.output, model.layers.<i>.output, model.norm.output, logits. A dump without
// input_ids, with other shapes, or with no value that the program has, is an error.
Result<std::vector<OperatorDeparture>> compare_with_dump(Engine& engine,
                                                         const std::filesystem::path& dump);

}  // namespace lotse
