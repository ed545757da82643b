// From logits to the next token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace lotse {

struct SamplingParams {
  float temperature = 0;  // 0: greedy
  int64_t top_k = 0;      // 0: all
  float top_p = 1;
  float min_p = 0;               // relative to the most likely token
  float repetition_penalty = 1;  // of tokens in the prompt and the answer (Keskar et al. 2019)
  float presence_penalty = 0;    // of tokens in the answer
  float frequency_penalty = 0;   // of tokens in the answer, per occurrence
  uint64_t seed = 0;
};

// Draws one token after another for one sequence. The n-th draw depends only on the seed, n and
// the logits. Not thread-safe; one object a sequence.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params) : params_(params) {}

  // Counts a prompt token for the repetition penalty.
  void see_prompt(std::span<const int32_t> tokens);
  // The next token. `logits` has one element a token of the vocabulary. The order is: penalties,
  // temperature, top-k, top-p, min-p, draw. Ties of greedy go to the lower id.
  int32_t sample(std::span<const float> logits);

 private:
  struct Seen {
    int32_t token;
    int32_t in_answer;
  };
  struct Candidate {
    float logit;
    int32_t token;
  };

  void penalise();
  void keep_likely();
  int32_t draw();
  Seen* find(int32_t token);

  SamplingParams params_;
  std::vector<Seen> seen_;  // sorted by token
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
  uint64_t draws_ = 0;
};

}  // namespace lotse
