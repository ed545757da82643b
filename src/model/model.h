// A model ready for a device: configuration, program, bound weights.
#pragma once

#include <filesystem>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model/bind.h"
#include "model/config.h"

namespace lotse {

// Finds the family of a config.json (looking into `text_config` where the model is a multimodal
// wrapper) and reads it. An unknown model_type is an `unsupported` error that lists the supported
// ones and names the closest.
Result<ModelConfig> read_model_config(const Json& config, const std::string& origin);

// Records the program of a configuration used up to `context` positions.
Result<Program> record_program(const ModelConfig& config, int64_t context);

struct Model {
  ModelConfig config;
  Quantisation quantisation;
  int64_t context = 0;  // positions that the program is recorded for
  Program program;
  std::vector<WeightFormat> formats;  // of each of program.weights: its first part's
  std::vector<Weight> weights;        // one for each of program.weights
  size_t adapter_weights = 0;         // the last ones: of adapters
};

// Binds a checkpoint. `context` is clamped to the model's own maximum; 0 means that maximum.
// Errors: unsupported family or quantisation, a missing or ill-shaped tensor, no weights at all.
Result<Model> load_model(const Checkpoint& checkpoint, int64_t context = 0);

// Keeps of a model what rank `rank` of `size` needs: its program and its part of every weight.
// Errors: those of shard() and take_share() in device/walk/shard.h.
Result<void> shard_model(Model& model, int32_t rank, int32_t size);

}  // namespace lotse
