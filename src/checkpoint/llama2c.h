// llama2.c's float checkpoints ("legacy export"): seven 32-bit integers (dim, hidden_dim, layers,
// heads, kv_heads, vocab_size, context), then float32 weights in a fixed order, each kind stacked
// over the layers. A negative vocab_size means that the output has weights of its own.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/tensor_table.h"

namespace lotse {

struct Llama2cCheckpoint {
  Json config;
  std::vector<StoredTensor> tensors;
};

// `bytes` is a whole file, kept alive by `owner`; `origin` begins error messages. The file has no
// magic number: it is recognised by its size, which the seven integers determine.
Result<Llama2cCheckpoint> read_llama2c(std::span<const std::byte> bytes,
                                       const std::shared_ptr<const void>& owner,
                                       std::string_view origin);

}  // namespace lotse
