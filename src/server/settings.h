// What a request of any generating endpoint asks for, besides its prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/framed_constraint.h"
#include "engine/output/output_parser.h"
#include "engine/request.h"
#include "server/fields.h"
#include "server/served_model.h"

namespace lotse {

struct CompiledGrammar;

// How the text of an answer is taken apart. As it is here: everything is content.
struct AnswerShape {
  OutputFormat format = {};
  OutputOptions options = {};
  bool parallel_calls = true;   // otherwise the answer ends with its first call
  bool shows_reasoning = true;  // otherwise it is dropped
};

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
  AnswerFrame frame;                               // before what keeps to the grammar
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
  AnswerShape shape;
};

// Everything but the fields of a single endpoint: max_tokens, logprobs and the like.
ApiResult<GenerationSettings> read_settings(const RequestFields& fields, const ServedModel& model);

// The request for one of the answers. `seed` is the request's own, or one drawn for it.
GenerationRequest make_request(const GenerationSettings& settings, const Tokenizer& tokenizer,
                               std::vector<int32_t> prompt, int64_t seed, int64_t answer);

}  // namespace lotse
