#include "engine/likeliest.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace lotse {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLanes = 16;  // side by side, so that compilers use vectors

// The largest of a block; −∞ when it holds nothing but NaN.
float largest_of(std::span<const float> block) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= block.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      lanes[j] = block[i + j] > lanes[j] ? block[i + j] : lanes[j];
    }
  }
  for (; i < block.size(); ++i) lanes[0] = std::max(lanes[0], block[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

std::span<const float> block_of(std::span<const float> logits, size_t block) {
  const size_t first = block * kBlock;
  return logits.subspan(first, std::min(kBlock, logits.size() - first));
}

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

}  // namespace

int32_t likeliest(std::span<const float> logits) {
  const size_t blocks = (logits.size() + kBlock - 1) / kBlock;
  float largest = -std::numeric_limits<float>::infinity();
  size_t where = 0;
  for (size_t b = 0; b < blocks; ++b) {
    const float candidate = largest_of(block_of(logits, b));
    if (candidate <= largest) continue;
    largest = candidate;
    where = b;
  }
  const auto block = block_of(logits, where);
  const auto found = std::ranges::find(block, largest);
  return static_cast<int32_t>(where * kBlock) +
         (found == block.end() ? 0 : static_cast<int32_t>(found - block.begin()));
}

void find_likeliest(std::span<const float> logits, int64_t count,
                    std::vector<Candidate>& candidates) {
  candidates.clear();
  const size_t blocks = (logits.size() + kBlock - 1) / kBlock;
  const auto wanted = std::min(static_cast<size_t>(count), logits.size());
  // The wanted-th largest of the blocks' maxima is no more than the wanted-th largest of all.
  std::vector<float> maxima(blocks);
  for (size_t b = 0; b < blocks; ++b) maxima[b] = largest_of(block_of(logits, b));
  float threshold = -std::numeric_limits<float>::infinity();
  if (wanted < blocks) {
    std::vector<float> sorted = maxima;
    const auto place = sorted.begin() + static_cast<ptrdiff_t>(wanted - 1);
    std::ranges::nth_element(sorted, place, std::greater<>());
    threshold = *place;
  }
  for (size_t b = 0; b < blocks; ++b) {
    if (maxima[b] < threshold) continue;
    const auto block = block_of(logits, b);
    for (size_t i = 0; i < block.size(); ++i) {
      if (block[i] >= threshold) {
        candidates.push_back({block[i], static_cast<int32_t>(b * kBlock + i)});
      }
    }
  }
  if (candidates.empty()) candidates.push_back({-std::numeric_limits<float>::infinity(), 0});
  const auto kept = std::min(wanted, candidates.size());
  const auto end = candidates.begin() + static_cast<ptrdiff_t>(kept);
  if (kept < candidates.size()) {
    std::nth_element(candidates.begin(), end - (kept > 0 ? 1 : 0), candidates.end(), is_likelier);
  }
  candidates.erase(end, candidates.end());
  std::ranges::sort(candidates, is_likelier);
}

}  // namespace lotse
