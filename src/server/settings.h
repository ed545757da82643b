// What a request of any generating endpoint asks for, besides its prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/fields.h"
#include "server/served_model.h"

namespace lotse {

struct CompiledGrammar;

struct GenerationSettings {
  SamplingParams sampling;
  std::optional<int64_t> seed;
  int64_t n = 1;
  std::optional<int64_t> max_tokens;  // what the context has left
  int64_t min_tokens = 0;
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;
  std::vector<std::string> stop;
  bool include_stop = false;
  bool skip_special = true;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_tokens;
  std::shared_ptr<const CompiledGrammar> grammar;  // that every answer keeps to; may be null
  std::optional<int32_t> top_logprobs;
  std::optional<int32_t> prompt_logprobs;
  int32_t priority = 0;
  std::string cache_salt;
  int32_t adapter = 0;
  bool echo = false;           // of a completion: the prompt stands before each answer
  bool echo_logprobs = false;  // and its log-probabilities with the answer's
  bool stream = false;
  bool include_usage = false;     // of a stream, in its last chunk
  bool continuous_usage = false;  // of a stream, in every chunk
};

// Everything but the fields of a single endpoint: max_tokens, logprobs and the like.
ApiResult<GenerationSettings> read_settings(const RequestFields& fields, const ServedModel& model);

// The request for one of the answers. `seed` is the request's own, or one drawn for it.
GenerationRequest make_request(const GenerationSettings& settings, std::vector<int32_t> prompt,
                               int64_t seed, int64_t answer);

}  // namespace lotse
