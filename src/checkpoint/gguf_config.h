// A Hugging Face config.json and tokenizer metadata from the key-values of a GGUF file.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/gguf_reader.h"
#include "checkpoint/gguf_vocab.h"

namespace lotse {

// What the tensor mapping needs to know, checked.
struct GgufModel {
  GgufFamily family = GgufFamily::llama;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t experts = 0;  // 0 for a dense model
  Json config;
};

// Error: unsupported for an architecture that is not in the table, naming those that are.
Result<GgufModel> read_gguf_model(const GgufFile& file);

// Nothing when the file holds no tokens.
Result<std::optional<GgufVocab>> read_gguf_vocab(const GgufMetadata& metadata);

}  // namespace lotse
