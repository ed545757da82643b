#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"

namespace lotse {
namespace {

constexpr int64_t kShortestContext = 128;  // positions; a context of fewer is of no use
// Activations, tokenizer, buffers: small beside weights and cache.
constexpr int64_t kWorking = int64_t{64} << 20;

std::string amount(int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

std::unexpected<Error> too_much(const MemoryNeeds& needs, int64_t positions, int64_t fits) {
  return fail(ErrorCode::limit,
              "{} positions need {} of cache, and {} of {} are left beside {} of weights: {} "
              "positions fit (--context)",
              positions, amount(positions * needs.position_bytes),
              amount(fits * needs.position_bytes), amount(needs.available),
              amount(needs.weights + needs.draft_weights), fits);
}

}  // namespace

std::string MemoryPlan::text() const {
  std::string weights = amount(needs.weights) + " of weights";
  if (needs.draft_weights > 0) {
    weights += fmt::format(" and {} of the draft model's", amount(needs.draft_weights));
  }
  return fmt::format("{}, {} of cache ({} positions, {} each), {} available", weights,
                     amount(cache_tokens * needs.position_bytes), cache_tokens,
                     amount(needs.position_bytes), amount(needs.available));
}

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const MemoryWishes& wishes) {
  const int64_t weights = needs.weights + needs.draft_weights;
  const int64_t working = needs.draft_weights > 0 ? 2 * kWorking : kWorking;
  const int64_t left = needs.available - weights - working;
  if (left <= 0) {
    return fail(ErrorCode::limit,
                "the weights need {}, and {} are available; `lotse port` to a smaller format, or "
                "more memory, helps",
                amount(weights), amount(needs.available));
  }
  const int64_t fits = left / std::max<int64_t>(needs.position_bytes, 1);
  MemoryPlan plan{needs, std::min(needs.max_context, fits), 0};
  if (wishes.context > 0) {
    plan.context = std::min(wishes.context, needs.max_context);
    if (plan.context > fits) return too_much(needs, plan.context, fits);
  } else if (plan.context < std::min(kShortestContext, needs.max_context)) {
    return too_much(needs, std::min(kShortestContext, needs.max_context), fits);
  }
  if (wishes.cache_tokens > fits) return too_much(needs, wishes.cache_tokens, fits);
  const int64_t all = plan.context * needs.sequences;
  plan.cache_tokens = wishes.cache_tokens > 0 ? std::max(wishes.cache_tokens, plan.context)
                                              : std::max(plan.context, std::min(all, fits));
  return plan;
}

}  // namespace lotse
