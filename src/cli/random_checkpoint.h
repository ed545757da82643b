// Random weights in the shapes of a configuration, scaled so that activations and logits stay of
// order one: matrices have variance 1/columns, norms are about 1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "base/json.h"
#include "checkpoint/weight_source.h"

namespace lotse::cli {

struct RandomCheckpointOptions {
  uint64_t seed = 0;
  std::optional<int64_t> layers;
  std::filesystem::path tokenizer;  // directory to copy tokenizer files from; empty: none
};

// A bf16 tensor of normal numbers.
struct RandomTensor {
  TensorInfo info;
  float mean = 0;
  float deviation = 0;
};

struct RandomCheckpoint {
  Json config;  // as written
  std::vector<RandomTensor> tensors;
  RandomCheckpointOptions options;

  int64_t total_bytes() const;
  // The tensors of each file: at most kShardBytes unless one tensor alone is larger.
  std::vector<std::vector<RandomTensor>> shards() const;
};

inline constexpr int64_t kShardBytes = int64_t{4} << 30;

// `config` is a config.json or a directory with one. Quantisation is dropped from it, and what it
// says of each layer is cut to `options.layers`. Errors: what read_model_config finds, more layers
// than are configured one by one, a tokenizer that is larger than the vocabulary.
Result<RandomCheckpoint> plan_random_checkpoint(const std::filesystem::path& config,
                                                const RandomCheckpointOptions& options);

// Writes the directory `out` under a temporary name and renames it when it is complete. The same
// options give the same bytes, and a tensor's values do not depend on the others. `on_progress` is
// told the bytes written so far.
Result<void> write_random_checkpoint(const RandomCheckpoint& checkpoint,
                                     const std::filesystem::path& out,
                                     const std::function<void(int64_t)>& on_progress);

}  // namespace lotse::cli
