// One generation among many: what it asks for, and what it is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/sampler.h"
#include "model/pooling.h"

namespace lotse {

// Which tokens may come next, for one sequence: a grammar's state. Called on the engine's thread
// only.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // Sets the logits of tokens that must not come next to −∞, those of end tokens among them.
  virtual void mask(std::span<float> logits) = 0;
  // Takes note of a token that was chosen, the end token excepted.
  virtual void accept(int32_t token) = 0;
  // Whether the text is complete, so that an end token may come.
  virtual bool can_end() const = 0;
  // Whether it is complete and nothing may follow: generation ends.
  virtual bool is_finished() const = 0;
};

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  int64_t max_tokens = 16;
  int64_t min_tokens = 0;            // no end token before as many
  bool ignore_eos = false;           // the model's end tokens are ordinary ones
  std::vector<int32_t> stop_tokens;  // end tokens besides the model's own
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_tokens;          // empty: all
  std::optional<int32_t> top_logprobs;          // log-probabilities, and of as many alternatives
  std::optional<int32_t> prompt_logprobs;       // the same of the prompt's tokens
  std::unique_ptr<TokenConstraint> constraint;  // may be null
  int32_t priority = 0;                         // lower is earlier; then by arrival
  int32_t adapter = 0;                          // of Engine::adapters(), from 1 on; 0: none
  std::string cache_salt;                       // prefixes are shared under equal salts only
  std::optional<std::chrono::steady_clock::time_point> deadline;
  // Asks for the prompt's embedding by this pooling: nothing is generated, and of the fields above
  // only prompt, priority, cache_salt and deadline count.
  std::optional<Pooling> pooling;
};

struct TokenLogprob {
  int32_t token;
  float logprob;
};

// Log-probabilities are those of the model itself, before bias, constraint, penalties and
// temperature.
struct GeneratedToken {
  int32_t token = -1;
  float logprob = 0;              // where asked for
  std::vector<TokenLogprob> top;  // likeliest first, lower ids first among equals
};

// What ended a generation.
enum class FinishReason : uint8_t {
  stop,       // an end token, the sink, or the constraint; the embedding is made
  length,     // max_tokens, or the end of the context
  cancelled,  // by the caller
  deadline,   // the request's own
  dead_end,   // the request forbids every token, and its constraint forbids to end
  error,      // of the device
};
const char* name(FinishReason reason);

struct RequestOutcome {
  FinishReason reason = FinishReason::stop;
  std::optional<int32_t> stop_token;  // the end token that was chosen; it was not delivered
  std::optional<GeneratedToken> stop_logprob;  // the same with its log-probability, where asked for
  std::optional<Error> error;                  // with FinishReason::error
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the cache when it was admitted
  int64_t generated_tokens = 0;
  // Seconds since the request was submitted.
  double admitted_at = 0;
  double first_token_at = 0;
  double ended_at = 0;
};

// Hears of one request, on the engine's thread: calls must be short and never block.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  // Once before the first token, where prompt_logprobs was asked for: of each token of the prompt
  // but the first.
  virtual void on_prompt(std::vector<GeneratedToken> /*tokens*/) {}
  // Once, before on_end(), where pooling was asked for: as it was pooled, neither cut nor scaled.
  virtual void on_embedding(std::vector<float> /*embedding*/) {}
  // A token was chosen; false ends the generation (FinishReason::stop).
  virtual bool on_token(const GeneratedToken& token) = 0;
  // The last call, exactly once.
  virtual void on_end(const RequestOutcome& outcome) = 0;
};

}  // namespace lotse
