#include "server/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/grammar_cache.h"
#include "engine/grammar_constraint.h"

namespace lotse {
namespace {

constexpr size_t kMaxStopBytes = 1024;
constexpr uint64_t kSeedStep = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio

void read_sampling(const RequestFields& fields, SamplingParams& sampling) {
  const auto read = [&](const char* name, float& value) {
    if (const auto number = fields.number(name)) value = static_cast<float>(*number);
  };
  read("temperature", sampling.temperature);
  read("typical_p", sampling.typical_p);
  read("top_p", sampling.top_p);
  read("min_p", sampling.min_p);
  read("repetition_penalty", sampling.repetition_penalty);
  read("presence_penalty", sampling.presence_penalty);
  read("frequency_penalty", sampling.frequency_penalty);
  if (const auto k = fields.integer("top_k")) sampling.top_k = std::max<int64_t>(*k, 0);
}

ApiResult<std::vector<std::pair<int32_t, float>>> read_bias(const RequestFields& fields,
                                                            const ServedModel& model) {
  std::vector<std::pair<int32_t, float>> bias;
  const OrderedJson* object = fields.find("logit_bias");
  if (object == nullptr) return bias;
  for (const auto& [key, value] : object->items()) {
    int64_t token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool is_token = error == std::errc() && end == key.data() + key.size() && token >= 0 &&
                          token < model.vocabulary;
    if (!is_token) {
      return bad_field("logit_bias", "expected token ids from 0 to {} as keys, got \"{}\"",
                       model.vocabulary - 1, key.substr(0, 40));
    }
    const double number = value.is_number() ? value.get<double>() : INFINITY;
    if (!(number >= -100 && number <= 100)) {
      return bad_field("logit_bias", "token {}: expected a number from -100 to 100", token);
    }
    bias.emplace_back(static_cast<int32_t>(token), static_cast<float>(number));
  }
  return bias;
}

ApiResult<void> read_stream(const RequestFields& fields, GenerationSettings& settings) {
  settings.stream = fields.boolean("stream").value_or(false);
  const OrderedJson* options = fields.find("stream_options");
  if (options == nullptr) return {};
  if (!settings.stream) return bad_field("stream_options", "only allowed when stream is true");
  const auto flag = [&](const char* name, bool& value) -> ApiResult<void> {
    const auto it = options->find(name);
    if (it == options->end() || it->is_null()) return {};
    if (!it->is_boolean()) {
      return bad_field(fmt::format("stream_options.{}", name), "expected true or false");
    }
    value = it->get<bool>();
    return {};
  };
  LOTSE_TRY(flag("include_usage", settings.include_usage));
  return flag("continuous_usage_stats", settings.continuous_usage);
}

ApiResult<std::vector<std::string>> read_stop(const RequestFields& fields, const char* name) {
  auto stop = fields.strings(name);
  for (const std::string& text : stop) {
    if (text.empty() || text.size() > kMaxStopBytes) {
      return bad_field(name, "expected strings of 1 to {} bytes", kMaxStopBytes);
    }
  }
  return stop;
}

std::unique_ptr<TokenConstraint> make_constraint(const GenerationSettings& settings,
                                                 const Tokenizer& tokenizer) {
  const AnswerFrame& frame = settings.frame;
  std::unique_ptr<TokenConstraint> constraint;
  if (settings.grammar) {
    constraint = std::make_unique<GrammarConstraint>(settings.grammar->masks);
    if (frame.reasoning_close.empty() && frame.beginning.empty()) return constraint;
  } else if (frame.beginning.empty()) {
    return nullptr;
  }
  return std::make_unique<FramedConstraint>(tokenizer, frame, std::move(constraint));
}

}  // namespace

ApiResult<GenerationSettings> read_settings(const RequestFields& fields, const ServedModel& model) {
  GenerationSettings settings;
  settings.sampling = model.default_sampling;
  read_sampling(fields, settings.sampling);
  settings.seed = fields.integer("seed");
  settings.n = fields.integer("n").value_or(1);
  settings.min_tokens = fields.integer("min_tokens").value_or(0);
  settings.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  settings.stop_tokens = fields.integers("stop_token_ids");
  const char* stop = fields.find("stop_sequences") != nullptr ? "stop_sequences" : "stop";
  settings.stop = LOTSE_TRY(read_stop(fields, stop));
  settings.include_stop = fields.boolean("include_stop_str_in_output").value_or(false);
  settings.skip_special = fields.boolean("skip_special_tokens").value_or(true);
  settings.logit_bias = LOTSE_TRY(read_bias(fields, model));
  settings.allowed_tokens = fields.integers("allowed_token_ids");
  if (fields.find("allowed_token_ids") != nullptr && settings.allowed_tokens.empty()) {
    return bad_field("allowed_token_ids", "the array is empty, so that nothing could be answered");
  }
  for (const int32_t token : settings.allowed_tokens) {
    if (token < model.vocabulary) continue;
    return bad_field("allowed_token_ids", "token {} is outside of the vocabulary of {}", token,
                     model.vocabulary);
  }
  if (const auto count = fields.integer("prompt_logprobs")) {
    settings.prompt_logprobs = static_cast<int32_t>(*count);
  }
  settings.priority = static_cast<int32_t>(fields.integer("priority").value_or(0));
  settings.adapter = model.adapter;
  settings.cache_salt = fields.string("cache_salt").value_or("");
  LOTSE_TRY(read_stream(fields, settings));
  if (settings.stream && settings.prompt_logprobs) {
    return bad_field("prompt_logprobs", "not available when stream is true");
  }
  return settings;
}

GenerationRequest make_request(const GenerationSettings& settings, const Tokenizer& tokenizer,
                               std::vector<int32_t> prompt, int64_t seed, int64_t answer) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.sampling = settings.sampling;
  request.sampling.seed = static_cast<uint64_t>(seed) + kSeedStep * static_cast<uint64_t>(answer);
  // The engine ends at the context's end by itself; zero is asked for to score a prompt only.
  request.max_tokens = std::max<int64_t>(settings.max_tokens.value_or(INT32_MAX), 1);
  request.min_tokens = settings.min_tokens;
  request.ignore_eos = settings.ignore_eos;
  request.stop_tokens = settings.stop_tokens;
  request.logit_bias = settings.logit_bias;
  request.allowed_tokens = settings.allowed_tokens;
  request.constraint = make_constraint(settings, tokenizer);
  request.top_logprobs = settings.top_logprobs;
  request.prompt_logprobs = settings.prompt_logprobs;
  request.priority = settings.priority;
  request.cache_salt = settings.cache_salt;
  request.adapter = settings.adapter;
  return request;
}

}  // namespace lotse
