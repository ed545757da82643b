#include "engine/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lotse {

GeneratedToken with_logprobs(int32_t token, std::span<const float> logits, int32_t top) {
  const float largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - largest));
  const double normaliser = static_cast<double>(largest) + std::log(sum);
  const auto logprob = [&](int32_t id) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - normaliser);
  };
  GeneratedToken result{token, logprob(token), {}};
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<ptrdiff_t>(top, std::ssize(order));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  for (ptrdiff_t i = 0; i < count; ++i) {
    const int32_t id = order[static_cast<size_t>(i)];
    result.top.push_back({id, logprob(id)});
  }
  return result;
}

}  // namespace lotse
