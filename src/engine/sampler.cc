#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

namespace lotse {
namespace {

// SplitMix64 (Steele et al. 2014) of seed and counter: a uniform number in [0, 1).
double uniform(uint64_t seed, uint64_t counter) {
  uint64_t x = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1.0p-53;
}

}  // namespace

Sampler::Seen* Sampler::find(int32_t token) {
  const auto it = std::lower_bound(seen_.begin(), seen_.end(), token,
                                   [](const Seen& seen, int32_t id) { return seen.token < id; });
  if (it != seen_.end() && it->token == token) return &*it;
  return &*seen_.insert(it, Seen{token, 0});
}

void Sampler::see_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) find(token);
}

void Sampler::penalise() {
  for (const Seen& seen : seen_) {
    float& logit = adjusted_[static_cast<size_t>(seen.token)];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (seen.in_answer > 0) {
      logit -= params_.presence_penalty;
      logit -= params_.frequency_penalty * static_cast<float>(seen.in_answer);
    }
  }
}

// Leaves in candidates_ the tokens that top-k, top-p and min-p keep, most likely first.
void Sampler::keep_likely() {
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  };
  candidates_.clear();
  for (size_t i = 0; i < adjusted_.size(); ++i) {
    candidates_.push_back({adjusted_[i], static_cast<int32_t>(i)});
  }
  if (params_.top_k > 0 && params_.top_k < static_cast<int64_t>(candidates_.size())) {
    std::nth_element(candidates_.begin(), candidates_.begin() + (params_.top_k - 1),
                     candidates_.end(), more_likely);
    candidates_.resize(static_cast<size_t>(params_.top_k));
  }
  std::sort(candidates_.begin(), candidates_.end(), more_likely);
  const float largest = candidates_.front().logit;
  double total = 0;
  for (Candidate& c : candidates_) {
    c.logit = std::exp((c.logit - largest) / params_.temperature);
    total += static_cast<double>(c.logit);
  }
  size_t kept = 0;
  double mass = 0;
  while (kept < candidates_.size() &&
         (kept == 0 || (mass < static_cast<double>(params_.top_p) * total &&
                        candidates_[kept].logit >= params_.min_p))) {
    mass += static_cast<double>(candidates_[kept].logit);
    ++kept;
  }
  candidates_.resize(kept);
}

int32_t Sampler::draw() {
  double total = 0;
  for (const Candidate& c : candidates_) total += static_cast<double>(c.logit);
  double left = uniform(params_.seed, draws_++) * total;
  for (const Candidate& c : candidates_) {
    left -= static_cast<double>(c.logit);
    if (left < 0) return c.token;
  }
  return candidates_.back().token;
}

int32_t Sampler::sample(std::span<const float> logits) {
  const bool penalised = params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
                         params_.frequency_penalty != 0;
  if (params_.temperature <= 0 && !penalised) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  adjusted_.assign(logits.begin(), logits.end());
  if (penalised) penalise();
  int32_t token = 0;
  if (params_.temperature <= 0) {
    token = static_cast<int32_t>(std::max_element(adjusted_.begin(), adjusted_.end()) -
                                 adjusted_.begin());
  } else {
    keep_likely();
    token = draw();
  }
  if (penalised) ++find(token)->in_answer;
  return token;
}

}  // namespace lotse
