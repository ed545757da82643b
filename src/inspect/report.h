// The two forms in which `lotse inspect` shows what it found.
#pragma once

#include <string>

#include "base/json.h"
#include "inspect/target_report.h"

namespace lotse {

// What a model needs at some usual contexts (the model's longest the last) and batch sizes.
struct MemoryRow {
  int64_t context;
  int64_t batch;
  MemoryNeed need;
};
std::vector<MemoryRow> memory_table(const ModelFacts& model, const Storage& storage);

// `target` may be null.
std::string report_text(const ModelFacts& model, const TargetReport* target);
Json report_json(const ModelFacts& model, const TargetReport* target);

// One line a tensor: name, dtype, shape, bytes.
std::string tensors_text(const ModelFacts& model);
Json tensors_json(const ModelFacts& model);

}  // namespace lotse
