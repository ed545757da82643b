// From logits to the next token of one generation: what its request forbids and favours, then its
// sampler.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/sampler.h"

namespace lotse {

// Draws tokens for a draft as the generation would go on from here, but for its constraint. Refers
// to the request of the chooser that it came from. Not thread-safe.
class GuessChooser {
 public:
  // The next token of the draft, and what it was drawn from.
  int32_t choose(std::span<const float> logits, Distribution& from);

 private:
  friend class TokenChooser;
  GuessChooser(const GenerationRequest& request, std::span<const int64_t> end_tokens,
               Sampler sampler, int64_t generated)
      : request_(&request),
        end_tokens_(end_tokens),
        sampler_(std::move(sampler)),
        generated_(generated) {}

  const GenerationRequest* request_;
  std::span<const int64_t> end_tokens_;
  Sampler sampler_;
  int64_t generated_;
  std::vector<float> adjusted_;
};

// Not thread-safe. The request and the model's end tokens must outlive it.
class TokenChooser {
 public:
  TokenChooser(const GenerationRequest& request, std::span<const int64_t> end_tokens);

  // The next token; nothing where the request forbids all.
  std::optional<int32_t> choose(std::span<const float> logits);
  // A token that is distributed alike and tends to `drafted`: see Sampler::sample_drafted().
  std::optional<int32_t> choose(std::span<const float> logits, int32_t drafted,
                                const Distribution& from);

  // Whether a token ends the generation.
  bool is_end(int32_t token) const;
  // The chosen token became part of the answer.
  void accept(int32_t token);
  // Whether the answer may end here, and whether it must.
  bool can_end() const;
  bool is_finished() const;

  // Under RandomStream::choice the guesses are the tokens that this would choose from the same
  // logits; a draft that is to be accepted by sample_drafted() needs RandomStream::draft.
  GuessChooser guess(RandomStream stream) const;

 private:
  const GenerationRequest& request_;
  std::span<const int64_t> end_tokens_;
  Sampler sampler_;
  int64_t generated_ = 0;
  std::vector<float> adjusted_;
};

}  // namespace lotse
