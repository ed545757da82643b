// The two forms in which `lotse inspect` shows what it found.
#pragma once

#include <string>

#include "base/json.h"
#include "inspect/target_report.h"

namespace lotse {

// Contexts and batch sizes that the memory table shows.
std::vector<int64_t> table_contexts(const ModelConfig& config);
inline constexpr int64_t kTableBatches[] = {1, 8, 32};

// `target` may be null.
std::string report_text(const ModelFacts& model, const TargetReport* target);
Json report_json(const ModelFacts& model, const TargetReport* target);

// One line a tensor: name, dtype, shape, bytes.
std::string tensors_text(const ModelFacts& model);
Json tensors_json(const ModelFacts& model);

}  // namespace lotse
