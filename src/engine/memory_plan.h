// What a model's memory goes to, decided before anything is allocated.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace lotse {

struct MemoryNeeds {
  int64_t available = 0;       // bytes, on the device
  int64_t weights = 0;         // bytes
  int64_t position_bytes = 0;  // of one position of one sequence in the cache, all layers; with a
                               // draft model, in both caches
  int64_t max_context = 0;     // the model's
  int64_t sequences = 1;       // that are to run at once
  int64_t draft_weights = 0;   // bytes of a draft model's; 0 without one
};

// What the caller asks for; 0 where it has no wish.
struct MemoryWishes {
  int64_t context = 0;
  int64_t cache_tokens = 0;
};

struct MemoryPlan {
  MemoryNeeds needs;
  int64_t context = 0;       // positions of one sequence
  int64_t cache_tokens = 0;  // positions of all sequences together, at least one context

  // For people: "1.2 GiB of weights, 0.9 GiB of cache (8192 positions, 112 KiB each), 20.1 GiB
  // available"; with a draft model "1.2 GiB of weights and 0.3 GiB of the draft model's, …".
  std::string text() const;
};

// Without wishes, the context is the model's or what fits, and the cache has room for all sequences
// or as much as fits. Errors: limit, with both numbers, when the weights do not fit, or not what
// was wished for, or not even a short context beside them.
Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const MemoryWishes& wishes);

}  // namespace lotse
