// A step's batch as it is put together, sequence by sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"

namespace lotse {

// Keeps its memory from step to step.
class BatchBuilder {
 public:
  void clear();
  // Adds the next tokens of a sequence that has `computed` in the cache, in two parts; the logits
  // of the last `rows` of them are wanted. `blocks` must stay until the batch was executed.
  void add(std::span<const int32_t> tokens, std::span<const int32_t> more, int64_t computed,
           int64_t rows, std::span<const int32_t> blocks, int32_t adapter = 0);
  bool is_empty() const { return sequences_.empty(); }
  int64_t tokens() const { return std::ssize(tokens_); }
  // Of at least one sequence; valid until the next change.
  Batch batch();

 private:
  std::vector<int32_t> tokens_, positions_, rows_;
  std::vector<BatchSequence> sequences_;
};

}  // namespace lotse
