// Decides what every tensor of a checkpoint becomes on a target: quantised, converted, or kept.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "chip/profile.h"
#include "device/program.h"
#include "device/weight.h"
#include "port/source_weight.h"

namespace lotse {

struct LegaliseOptions {
  WeightFormat quant = WeightFormat::w8a8;  // bf16, w8a8, w4a16 or w4a8
  bool quantise_head = false;               // the output projection too (8 bits)
  int64_t shard_bytes = int64_t{4} << 30;   // data of one weight file; a larger tensor has its own
};

struct PlannedTensor {
  SourceWeight source;
  std::optional<WeightFormat> format;  // that the elements are encoded in; copied where empty
  std::string note;                    // why it is not quantised or converted, for the report
  std::vector<TensorInfo> outputs;     // values, scales, shape: as many as the format has
};

struct PlannedShard {
  std::string file;
  std::vector<PlannedTensor> tensors;
};

struct PortPlan {
  std::string target;
  WeightFormat quant = WeightFormat::bf16;
  int64_t group = 0;          // columns that share a scale, int4 only
  DType dtype = DType::bf16;  // of the weights that are not quantised
  std::vector<PlannedShard> shards;
  std::string index;   // text of model.safetensors.index.json; empty with a single shard
  std::string config;  // text of config.json
};

// Quantised are the matrices of linear layers and experts. Router, norms, biases, embeddings and,
// unless asked for, the output projection are kept in BF16, or in FP16 where the target has no
// BF16 or the model is an FP16 one. Columns that no group of the target divides are kept as well.
// Errors: unsupported when the target cannot run the format, naming those that it can run; the
// checkpoint's own errors, with file and tensor.
Result<PortPlan> plan_port(const Checkpoint& checkpoint, const ChipProfile& chip,
                           const LegaliseOptions& options);

}  // namespace lotse
