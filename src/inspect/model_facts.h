// What a model is, read from its configuration and the headers of its weight files: no weight is
// loaded.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoint/checkpoint.h"
#include "device/walk/storage.h"
#include "model/model.h"

namespace lotse {

struct ModelFacts {
  Checkpoint checkpoint;
  ModelConfig config;
  std::string family;  // for people: "Qwen3"
  Program program;     // recorded for the model's longest context
  Storage storage;     // as the checkpoint stores it
  bool has_weights = false;
  int64_t tensors = 0;       // 0 for a configuration alone
  int64_t stored_bytes = 0;  // of all tensors in the files
};

// `path` is what open_checkpoint takes; a config.json alone will do. Errors: unsupported for a
// family or a quantisation that Lotse does not read, naming those it does; otherwise those of
// open_checkpoint and of the configuration's fields.
Result<ModelFacts> examine_model(const std::filesystem::path& path);

// The formats of a checkpoint's weights by its configuration alone: `quantization_config`, or
// ModelOpt's hf_quant_config.json in `folder`.
Result<Storage> storage_by_config(const Program& program, const ModelConfig& config,
                                  const Json& json, const std::string& origin,
                                  const std::filesystem::path& folder);

// "bf16", "fp8_block", …: the format of most of the weights' bytes.
std::string main_format(const Storage& storage);

}  // namespace lotse
