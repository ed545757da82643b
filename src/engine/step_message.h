// A step's batch as the leader of a team sends it to the other ranks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "device/device.h"

namespace lotse {

std::vector<std::byte> to_message(const Batch& batch);

// A batch that owns what it consists of.
class ReceivedBatch {
 public:
  // The message must be one of to_message(): it comes from the same program (LOTSE_CHECK).
  explicit ReceivedBatch(std::span<const std::byte> message);
  Batch batch() const { return {tokens_, positions_, sequences_, rows_}; }

 private:
  std::vector<int32_t> numbers_;
  std::span<const int32_t> tokens_;
  std::span<const int32_t> positions_;
  std::span<const int32_t> rows_;
  std::vector<BatchSequence> sequences_;
};

}  // namespace lotse
