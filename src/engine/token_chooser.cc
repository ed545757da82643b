#include "engine/token_chooser.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace lotse {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

size_t index_of(int64_t index) { return static_cast<size_t>(index); }

// Of tokens that end a text: neither list need keep to the vocabulary, since one is a file's and
// the other a request's.
void for_each_known(const auto& tokens, size_t vocabulary, const auto& function) {
  for (const int64_t id : tokens) {
    if (id >= 0 && index_of(id) < vocabulary) function(id);
  }
}

// Leaves the tokens that the constraint allows and, where the text is complete, end tokens.
void constrain(const GenerationRequest& request, std::span<const int64_t> end_tokens,
               std::span<float> logits) {
  std::vector<std::pair<int64_t, float>> ends;
  const auto keep = [&](int64_t id) { ends.emplace_back(id, logits[index_of(id)]); };
  if (!request.ignore_eos) for_each_known(end_tokens, logits.size(), keep);
  for_each_known(request.stop_tokens, logits.size(), keep);
  request.constraint->mask(logits);
  if (!request.constraint->can_end()) return;
  for (const auto& [id, logit] : ends) logits[index_of(id)] = logit;
}

// The logits after what the request forbids and favours, in `adjusted`; the same ones where it does
// neither. A draft leaves out the constraint.
std::span<const float> adjust(const GenerationRequest& request, bool is_draft,
                              std::span<const int64_t> end_tokens, int64_t generated,
                              std::span<const float> logits, std::vector<float>& adjusted) {
  const bool is_early = generated < request.min_tokens;
  const bool is_constrained = request.constraint && !is_draft;
  if (!is_constrained && request.logit_bias.empty() && request.allowed_tokens.empty() &&
      !is_early) {
    return logits;
  }
  adjusted.assign(logits.begin(), logits.end());
  if (!request.allowed_tokens.empty()) {
    std::ranges::fill(adjusted, kForbidden);
    for (const int32_t id : request.allowed_tokens) adjusted[index_of(id)] = logits[index_of(id)];
  }
  for (const auto& [id, bias] : request.logit_bias) adjusted[index_of(id)] += bias;
  if (is_constrained) constrain(request, end_tokens, adjusted);
  if (is_early) {
    const auto forbid = [&](int64_t id) { adjusted[index_of(id)] = kForbidden; };
    for_each_known(end_tokens, adjusted.size(), forbid);
    for_each_known(request.stop_tokens, adjusted.size(), forbid);
  }
  return adjusted;
}

bool forbids_all(std::span<const float> logits) {
  return std::ranges::all_of(logits, [](float logit) { return logit == kForbidden; });
}

}  // namespace

int32_t GuessChooser::choose(std::span<const float> logits, Distribution& from) {
  const auto adjusted = adjust(*request_, true, end_tokens_, generated_, logits, adjusted_);
  ++generated_;
  return sampler_.sample(adjusted, from);
}

TokenChooser::TokenChooser(const GenerationRequest& request, std::span<const int64_t> end_tokens)
    : request_(request), end_tokens_(end_tokens), sampler_(request.sampling) {
  sampler_.see_prompt(request.prompt);
}

std::optional<int32_t> TokenChooser::choose(std::span<const float> logits) {
  const auto adjusted = adjust(request_, false, end_tokens_, generated_, logits, adjusted_);
  if (forbids_all(adjusted)) return std::nullopt;
  return sampler_.sample(adjusted);
}

std::optional<int32_t> TokenChooser::choose(std::span<const float> logits, int32_t drafted,
                                            const Distribution& from) {
  const auto adjusted = adjust(request_, false, end_tokens_, generated_, logits, adjusted_);
  if (forbids_all(adjusted)) return std::nullopt;
  return sampler_.sample_drafted(adjusted, drafted, from);
}

bool TokenChooser::is_end(int32_t token) const {
  if (std::ranges::find(request_.stop_tokens, token) != request_.stop_tokens.end()) return true;
  return !request_.ignore_eos &&
         std::ranges::find(end_tokens_, int64_t{token}) != end_tokens_.end();
}

void TokenChooser::accept(int32_t token) {
  ++generated_;
  if (request_.constraint) request_.constraint->accept(token);
}

bool TokenChooser::can_end() const {
  return !request_.constraint || request_.constraint->can_end();
}

bool TokenChooser::is_finished() const {
  return request_.constraint && request_.constraint->is_finished();
}

GuessChooser TokenChooser::guess(RandomStream stream) const {
  return {request_, end_tokens_, sampler_.fork(stream), generated_};
}

}  // namespace lotse
