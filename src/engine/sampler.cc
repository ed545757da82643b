#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

namespace lotse {
namespace {

// SplitMix64 (Steele et al. 2014) of seed and counter.
uint64_t scramble(uint64_t seed, uint64_t counter) {
  uint64_t x = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

double sum(std::span<const Candidate> candidates) {
  double total = 0;
  for (const Candidate& c : candidates) total += static_cast<double>(c.logit);
  return total;
}

}  // namespace

Sampler::Seen* Sampler::find(int32_t token) {
  const auto it = std::lower_bound(seen_.begin(), seen_.end(), token,
                                   [](const Seen& seen, int32_t id) { return seen.token < id; });
  if (it != seen_.end() && it->token == token) return &*it;
  return &*seen_.insert(it, Seen{token, 0});
}

Sampler Sampler::fork(RandomStream stream) const {
  Sampler other(params_);
  if (penalises()) other.seen_ = seen_;
  other.stream_ = stream;
  other.draws_ = draws_;
  return other;
}

// A uniform number in [0, 1): that of the next draw.
double Sampler::random(RandomStream stream) const {
  uint64_t seed = params_.seed;
  // The streams of one seed must not be those of another a few draws on.
  if (stream != RandomStream::choice)
    seed = scramble(seed ^ 0x6c6f747365u, static_cast<uint64_t>(stream));
  return static_cast<double>(scramble(seed, draws_) >> 11) * 0x1.0p-53;
}

void Sampler::see_prompt(std::span<const int32_t> tokens) {
  if (!penalises()) return;
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

// Leaves in candidates_ the tokens that may be drawn, with their relative probabilities.
void Sampler::choose_candidates() {
  const auto all = std::ssize(adjusted_);
  if (params_.top_k > 0 || params_.typical_p < 1) {
    find_likeliest(adjusted_, params_.top_k > 0 ? params_.top_k : all, candidates_);
    if (params_.typical_p < 1) keep_typical();
    keep_likely(std::nullopt, 0);
    return;
  }
  const double mass = mass_of_all();
  const bool keeps_all = params_.top_p >= 1 && params_.min_p <= 0;
  // What is kept is mostly little: sorting more than needed would take most of the time.
  constexpr int64_t kFirst = 256;
  constexpr int64_t kMoreEachTime = 16;
  for (int64_t count = keeps_all ? all : kFirst;; count *= kMoreEachTime) {
    find_likeliest(adjusted_, count, candidates_);
    if (count >= all) break;
    if (keep_likely(mass, 0)) return;
  }
  keep_likely(std::nullopt, 0);
}

// Leaves the tokens whose surprise is nearest the average of all candidates, up to the probability
// asked for.
void Sampler::keep_typical() {
  struct Surprise {
    double distance;
    double probability;
    Candidate candidate;
  };
  const float largest = candidates_.front().logit;
  double total = 0;
  for (const Candidate& c : candidates_) {
    total +=
        std::exp(static_cast<double>(c.logit - largest) / static_cast<double>(params_.temperature));
  }
  std::vector<Surprise> surprises;
  double entropy = 0;
  for (const Candidate& c : candidates_) {
    const double relative =
        static_cast<double>(c.logit - largest) / static_cast<double>(params_.temperature);
    const double probability = std::exp(relative) / total;
    if (probability == 0) continue;
    const double surprise = std::log(total) - relative;
    entropy += probability * surprise;
    surprises.push_back({surprise, probability, c});
  }
  for (Surprise& s : surprises) s.distance = std::abs(s.distance - entropy);
  std::ranges::sort(surprises, {},
                    [](const Surprise& s) { return std::pair(s.distance, s.candidate.token); });
  candidates_.clear();
  double sum = 0;
  for (const Surprise& s : surprises) {
    if (!candidates_.empty() && sum >= static_cast<double>(params_.typical_p)) break;
    candidates_.push_back(s.candidate);
    sum += s.probability;
  }
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  });
}

// Relative to that of the likeliest token.
double Sampler::mass_of_all() const {
  const float largest = adjusted_[static_cast<size_t>(likeliest(adjusted_))];
  double mass = 0;
  for (const float logit : adjusted_) {
    mass += static_cast<double>(std::exp((logit - largest) / params_.temperature));
  }
  return mass;
}

// Leaves those that top-p and min-p keep, with their relative probabilities. `mass` is that of all
// tokens where more than the candidates count, known to `doubt` of itself; false when that leaves
// open which are kept.
bool Sampler::keep_likely(std::optional<double> mass, double doubt) {
  const float largest = candidates_.front().logit;
  double total = 0;
  for (Candidate& c : candidates_) {
    c.logit = std::exp((c.logit - largest) / params_.temperature);
    total += static_cast<double>(c.logit);
  }
  if (mass && !std::isfinite(*mass)) return false;
  if (mass) total = *mass;
  const double enough = static_cast<double>(params_.top_p) * total;
  doubt *= total;
  size_t kept = 0;
  double sum = 0;
  while (kept < candidates_.size()) {
    if (kept > 0 && candidates_[kept].logit < params_.min_p) break;
    if (kept > 0 && doubt > 0 && std::abs(sum - enough) <= doubt) return false;
    if (kept > 0 && sum >= enough) break;
    sum += static_cast<double>(candidates_[kept].logit);
    ++kept;
  }
  if (mass && kept == candidates_.size() && sum <= enough + doubt) return false;
  candidates_.resize(kept);
  return true;
}

int32_t Sampler::draw() {
  double left = random(stream_) * sum(candidates_);
  ++draws_;
  for (const Candidate& c : candidates_) {
    left -= static_cast<double>(c.logit);
    if (left < 0) return c.token;
  }
  return candidates_.back().token;
}

// Copies the logits and penalises what was seen.
void Sampler::prepare(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  if (penalises()) penalise();
}

void Sampler::count(int32_t token) {
  if (penalises()) ++find(token)->in_answer;
}

int32_t Sampler::sample(std::span<const float> logits) {
  if (params_.temperature <= 0 && !penalises()) return likeliest(logits);
  prepare(logits);
  int32_t token = 0;
  if (params_.temperature <= 0) {
    token = likeliest(adjusted_);
  } else {
    choose_candidates();
    token = draw();
  }
  count(token);
  return token;
}

int32_t Sampler::sample(std::span<const float> logits, Distribution& from) {
  const int32_t token = sample(logits);
  from = {};
  if (params_.temperature > 0) from = {candidates_, sum(candidates_)};
  return token;
}

int32_t Sampler::sample_drafted(std::span<const float> logits, int32_t drafted,
                                const Distribution& from) {
  if (params_.temperature <= 0) return sample(logits);
  prepare(logits);
  choose_candidates();
  const int32_t token = draw_remainder(drafted, from);
  ++draws_;
  count(token);
  return token;
}

// `drafted` with probability min(1, p / q); else one of what the draft's q leaves of p.
int32_t Sampler::draw_remainder(int32_t drafted, const Distribution& from) {
  const auto at = [](int32_t token) { return static_cast<size_t>(token); };
  drafted_.resize(adjusted_.size());
  for (const Candidate& c : from.candidates) {
    drafted_[at(c.token)] = static_cast<double>(c.logit) / from.total;
  }
  if (from.candidates.empty()) drafted_[at(drafted)] = 1;
  const double q = drafted_[at(drafted)];
  const double total = sum(candidates_);
  double p = 0;
  double left = 0;
  for (const Candidate& c : candidates_) {
    const double share = static_cast<double>(c.logit) / total;
    if (c.token == drafted) p = share;
    left += std::max(share - drafted_[at(c.token)], 0.0);
  }
  int32_t token = drafted;
  if (random(RandomStream::acceptance) * q >= p) {
    left *= random(stream_);
    token = -1;
    for (const Candidate& c : candidates_) {
      const double rest = static_cast<double>(c.logit) / total - drafted_[at(c.token)];
      if (rest <= 0) continue;
      token = c.token;
      left -= rest;
      if (left < 0) break;
    }
    // Where rounding left nothing, p and q are the same.
    if (token < 0) token = candidates_.front().token;
  }
  for (const Candidate& c : from.candidates) drafted_[at(c.token)] = 0;
  drafted_[at(drafted)] = 0;
  return token;
}

std::optional<TopRequest> Sampler::wanted(int64_t vocabulary, int64_t most) const {
  if (most == 0 || penalises() || params_.typical_p < 1) return std::nullopt;
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
  const auto mass = top.masses.empty() ? std::nullopt : std::optional<double>(top.masses.front());
  if (!keep_likely(mass, mass ? kMassError : 0)) {
    return std::nullopt;
  }
  return draw();
}

}  // namespace lotse
