// What a user would notice: the next token, its distribution, perplexity.
#pragma once

#include <functional>
#include <vector>

#include "engine/engine.h"

namespace lotse {

struct EndToEnd {
  int64_t tokens = 0;         // positions compared
  double top1_agreement = 0;  // share of positions where both would choose the same token
  double kl = 0;              // mean KL(original ‖ ported), in nats
  double perplexity_ported = 0;
  double perplexity_original = 0;
};

// Teacher-forced over windows of tokens (see cut_windows). `progress` sees the tokens done.
Result<EndToEnd> compare_end_to_end(Engine& ported, Engine& original,
                                    const std::vector<std::vector<int32_t>>& windows,
                                    const std::function<void(int64_t)>& progress);

}  // namespace lotse
