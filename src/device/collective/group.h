// One process's place among those that run one model together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace lotse {

// What the ranks of a group do together. All ranks make the same calls in the same order; a call
// returns when this rank has its result. One caller at a time. An error (io: a rank is gone or
// silent) ends the group: every later call fails too.
class Group {
 public:
  virtual ~Group() = default;

  virtual int32_t rank() const = 0;
  virtual int32_t size() const = 0;

  // Rank 0's bytes, on every rank; what the others give is ignored. Devices exchange by it what
  // their own collectives need to meet.
  virtual Result<std::vector<std::byte>> broadcast(std::vector<std::byte> bytes) = 0;

  // In place: the sum over all ranks, always added in their order, so that each gets the same bits.
  virtual Result<void> all_reduce(std::span<float> values) = 0;

  // `all` = what rank 0 gave, then rank 1, …; every rank gives equally many.
  virtual Result<void> all_gather(std::span<const float> mine, std::span<float> all) = 0;
};

}  // namespace lotse
