// From logits to the next token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/device.h"
#include "engine/likeliest.h"

namespace lotse {

struct SamplingParams {
  float temperature = 0;  // 0: greedy
  int64_t top_k = 0;      // 0: all
  float typical_p =
      1;  // of tokens about as surprising as the average (Meister et al. 2022); 1: all
  float top_p = 1;
  float min_p = 0;               // relative to the most likely token
  float repetition_penalty = 1;  // of tokens in the prompt and the answer (Keskar et al. 2019)
  float presence_penalty = 0;    // of tokens in the answer
  float frequency_penalty = 0;   // of tokens in the answer, per occurrence
  uint64_t seed = 0;
};

// What a token was drawn from: the tokens that could have been, with `logit` being a relative
// probability, and the sum of those. Without candidates the token was certain.
struct Distribution {
  std::vector<Candidate> candidates;
  double total = 0;
};

// Independent random numbers under one seed.
enum class RandomStream : uint8_t { choice, draft, acceptance };

// Draws one token after another for one sequence. The n-th draw depends only on the seed, n and
// the logits. Not thread-safe; one object a sequence.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params) : params_(params) {}

  // A sampler that goes on from here with the random numbers of `stream`: under `choice` it draws
  // what this one will from the same logits.
  Sampler fork(RandomStream stream) const;

  // Counts a prompt token for the repetition penalty.
  void see_prompt(std::span<const int32_t> tokens);
  // The next token. `logits` has one element a token of the vocabulary. The order is: penalties,
  // temperature, top-k, typical-p, top-p, min-p,
  // draw. Ties of greedy go to the lower id.
  int32_t sample(std::span<const float> logits);

  // The same, and what it was drawn from.
  int32_t sample(std::span<const float> logits, Distribution& from);

  // A token distributed as those of sample(), and `drafted` as often as that allows when `drafted`
  // was drawn from `from` (Leviathan et al. 2023; Chen et al. 2023). The token depends on what was
  // drafted; at temperature 0 it is the one of sample().
  int32_t sample_drafted(std::span<const float> logits, int32_t drafted, const Distribution& from);

  // What a device that brings up to `most` of `vocabulary` logits need bring for sample_top();
  // nothing where all are needed: with penalties, when most of them may be drawn, or when the
  // device brings none.
  std::optional<TopRequest> wanted(int64_t vocabulary, int64_t most) const;
  // The token that sample() would draw from all logits of the first row. Nothing when these do not
  // tell, which leaves the draw to sample().
  std::optional<int32_t> sample_top(const TopLogits& top);

 private:
  struct Seen {
    int32_t token;
    int32_t in_answer;
  };
  bool penalises() const;
  void penalise();
  void prepare(std::span<const float> logits);
  void count(int32_t token);
  double random(RandomStream stream) const;
  void choose_candidates();
  double mass_of_all() const;
  void keep_typical();
  bool keep_likely(std::optional<double> mass, double doubt);
  int32_t draw();
  int32_t draw_remainder(int32_t drafted, const Distribution& from);
  Seen* find(int32_t token);

  SamplingParams params_;
  std::vector<Seen> seen_;  // sorted by token
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
  std::vector<double> drafted_;  // probabilities by token; all 0 between calls
  RandomStream stream_ = RandomStream::choice;
  uint64_t draws_ = 0;
};

}  // namespace lotse
