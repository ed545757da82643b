// A GGUF file as a Hugging Face model: config, vocabulary, and tensors under their usual names, in
// their usual row order.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/gguf_vocab.h"
#include "checkpoint/tensor_table.h"

namespace lotse {

// A file that holds only a tokenizer has a null config and no tensors.
struct GgufCheckpoint {
  Json config;
  std::optional<GgufVocab> vocab;
  std::vector<StoredTensor> tensors;
};

// `bytes` is a whole file, kept alive by `owner`; `origin` begins error messages.
Result<GgufCheckpoint> read_gguf(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner, std::string_view origin);

}  // namespace lotse
