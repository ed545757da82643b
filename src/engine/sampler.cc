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

bool Sampler::penalises() const {
  return params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
         params_.frequency_penalty != 0;
}

// Leaves in candidates_ the tokens that top-k keeps, most likely first.
void Sampler::rank() {
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
}

// Leaves those that top-p and min-p keep, with their relative probabilities. `mass` is that of all
// tokens where more than the candidates count, known to kMassError; false when that leaves open
// which are kept.
bool Sampler::keep_likely(std::optional<float> mass) {
  const float largest = candidates_.front().logit;
  double total = 0;
  for (Candidate& c : candidates_) {
    c.logit = std::exp((c.logit - largest) / params_.temperature);
    total += static_cast<double>(c.logit);
  }
  if (mass && !std::isfinite(*mass)) return false;
  if (mass) total = static_cast<double>(*mass);
  const double enough = static_cast<double>(params_.top_p) * total;
  const double doubt = mass ? kMassError * total : 0;
  size_t kept = 0;
  double sum = 0;
  while (kept < candidates_.size()) {
    if (kept > 0 && candidates_[kept].logit < params_.min_p) break;
    if (kept > 0 && mass && std::abs(sum - enough) <= doubt) return false;
    if (kept > 0 && sum >= enough) break;
    sum += static_cast<double>(candidates_[kept].logit);
    ++kept;
  }
  if (mass && kept == candidates_.size() && sum <= enough + doubt) return false;
  candidates_.resize(kept);
  return true;
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
  const bool penalised = penalises();
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
    rank();
    keep_likely(std::nullopt);
    token = draw();
  }
  if (penalised) ++find(token)->in_answer;
  return token;
}

std::optional<TopRequest> Sampler::wanted(int64_t vocabulary, int64_t most) const {
  if (most == 0 || penalises()) return std::nullopt;
  if (params_.temperature <= 0) return TopRequest{};
  if (params_.top_k > 0 && params_.top_k < vocabulary) {
    return params_.top_k <= most ? std::optional(TopRequest{params_.top_k, 0}) : std::nullopt;
  }
  if (params_.top_p >= 1) return std::nullopt;
  return TopRequest{std::min(most, vocabulary), params_.temperature};
}

std::optional<int32_t> Sampler::sample_top(const TopLogits& top) {
  if (params_.temperature <= 0) return top.tokens.front();
  candidates_.clear();
  for (size_t i = 0; i < static_cast<size_t>(top.count); ++i) {
    candidates_.push_back({top.logits[i], top.tokens[i]});
  }
  if (!keep_likely(top.masses.empty() ? std::nullopt : std::optional(top.masses.front()))) {
    return std::nullopt;
  }
  return draw();
}

}  // namespace lotse
