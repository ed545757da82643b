// Opens a model from disk, in any supported format, as one Hugging Face view: config and tensors.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/gguf_vocab.h"
#include "checkpoint/weight_source.h"

namespace lotse {

struct Checkpoint {
  std::filesystem::path path;
  std::string format;         // "safetensors", "gguf", "pytorch", "llama2.c" or "config"
  Json config;                // config.json or its equivalent; null when a weight file has none
  std::string config_origin;  // begins messages about fields of `config`
  std::unique_ptr<WeightSource> weights;        // null for a configuration alone
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__, merged over shards
  std::optional<GgufVocab> gguf_vocab;
};

// `path` is a model directory, a weight file (.safetensors, .gguf, .bin, .pt, .pth), a shard index
// (*.index.json), or a config.json. In a directory safetensors go before GGUF before PyTorch files.
// Nothing is executed; every size is checked against the file before it is trusted. Errors:
// not_found, invalid_input, unsupported, limit, io.
Result<Checkpoint> open_checkpoint(const std::filesystem::path& path);

}  // namespace lotse
