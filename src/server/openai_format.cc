#include "server/openai_format.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "server/json_text.h"
#include "server/logprobs_json.h"

namespace lotse {
namespace {

constexpr const char* kDone = "data: [DONE]\n\n";

OrderedJson usage_json(const Usage& usage) {
  OrderedJson json = {{"prompt_tokens", usage.prompt_tokens},
                      {"completion_tokens", usage.completion_tokens},
                      {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
  if (usage.cached_tokens) {
    json["prompt_tokens_details"] = {{"cached_tokens", *usage.cached_tokens}};
  }
  if (usage.reasoning_tokens) {
    json["completion_tokens_details"] = {{"reasoning_tokens", *usage.reasoning_tokens}};
  }
  return json;
}

// vLLM's stop_reason: the stop string or token that ended an answer; null for the model's own end.
OrderedJson stop_reason(const AnswerEnd& end, const std::vector<int32_t>& stop_tokens) {
  if (end.stop_string) return *end.stop_string;
  for (const int32_t token : stop_tokens) {
    if (end.outcome.stop_token == token) return token;
  }
  return nullptr;
}

// What both endpoints have in common: one object around choices.
class OpenAiFormat : public AnswerFormat {
 public:
  OpenAiFormat(AnswerIdentity identity, const GenerationSettings& settings,
               const Tokenizer& tokenizer)
      : settings_(settings), tokenizer_(tokenizer), identity_(std::move(identity)) {}

  std::string end(size_t answer, const AnswerEnd& end, const Usage& usage) override {
    std::string out = opening(answer, usage);
    OrderedJson choice = {{"index", answer}};
    choice.update(last_part());
    add_end(choice, end);
    return out + chunk(std::move(choice), usage);
  }

  std::string finish(const Usage& usage) override {
    if (!settings_.include_usage) return kDone;
    OrderedJson json = envelope(chunk_object());
    json["choices"] = OrderedJson::array();
    json["usage"] = usage_json(usage);
    return sse(json) + kDone;
  }

  std::string failure(const ApiError& error) override {
    return "event: error\ndata: " + error_json(error) + "\n\n" + kDone;
  }

 protected:
  virtual const char* chunk_object() const = 0;
  // Events before an answer's first, where it had none yet.
  virtual std::string opening(size_t /*answer*/, const Usage& /*usage*/) { return {}; }
  // What the last chunk of an answer has in the place of text.
  virtual OrderedJson last_part() const = 0;

  void add_end(OrderedJson& choice, const AnswerEnd& end) const {
    choice["finish_reason"] = finish_reason(end).value();
    choice["stop_reason"] = stop_reason(end, settings_.stop_tokens);
  }

  OrderedJson envelope(const char* object) const {
    return {{"id", identity_.id},
            {"object", object},
            {"created", identity_.created},
            {"model", identity_.model}};
  }

  std::string chunk(OrderedJson choice, const Usage& usage) const {
    OrderedJson json = envelope(chunk_object());
    json["choices"] = OrderedJson::array({std::move(choice)});
    if (settings_.continuous_usage) {
      json["usage"] = usage_json(usage);
    } else if (settings_.include_usage) {
      json["usage"] = nullptr;
    }
    return sse(json);
  }

  std::string body(const char* object, OrderedJson choices, const Usage& usage,
                   OrderedJson more = OrderedJson::object()) const {
    OrderedJson json = envelope(object);
    json["choices"] = std::move(choices);
    json["usage"] = usage_json(usage);
    json.update(more);
    return to_text(json);
  }

  const GenerationSettings settings_;
  const Tokenizer& tokenizer_;

 private:
  AnswerIdentity identity_;
};

class CompletionFormat final : public OpenAiFormat {
 public:
  using OpenAiFormat::OpenAiFormat;

  std::string whole(std::span<const Answer> answers, const Usage& usage) override {
    OrderedJson choices = OrderedJson::array();
    for (size_t i = 0; i < answers.size(); ++i) {
      const Answer& answer = answers[i];
      OrderedJson choice = {{"index", i}, {"text", answer.text}};
      std::vector<GeneratedToken> tokens;
      if (shows_prompt()) tokens = answer.prompt_tokens;
      tokens.insert(tokens.end(), answer.tokens.begin(), answer.tokens.end());
      choice["logprobs"] = logprobs(i, tokens);
      add_end(choice, *answer.end);
      if (settings_.prompt_logprobs && !shows_prompt()) {
        choice["prompt_logprobs"] = prompt_logprobs(answer.prompt_tokens, tokenizer_);
      }
      choices.push_back(std::move(choice));
    }
    return body("text_completion", std::move(choices), usage);
  }

  std::string piece(size_t answer, const Piece& piece, const Usage& usage) override {
    std::string text = piece.text();
    if (text.empty() && (!settings_.top_logprobs || piece.tokens.empty())) return {};
    return chunk({{"index", answer},
                  {"text", std::move(text)},
                  {"logprobs", logprobs(answer, piece.tokens)},
                  {"finish_reason", nullptr}},
                 usage);
  }

 private:
  const char* chunk_object() const override { return "text_completion"; }
  OrderedJson last_part() const override { return {{"text", ""}, {"logprobs", nullptr}}; }

  // With echo and logprobs the prompt's tokens stand in the same list.
  bool shows_prompt() const { return settings_.echo_logprobs; }

  OrderedJson logprobs(size_t answer, std::span<const GeneratedToken> tokens) {
    if (!settings_.top_logprobs) return nullptr;
    if (offsets_.size() <= answer) offsets_.resize(answer + 1);
    return completion_logprobs(tokens, *settings_.top_logprobs, tokenizer_, offsets_[answer]);
  }

  std::vector<int64_t> offsets_;  // of each answer, in characters
};

class ChatFormat final : public OpenAiFormat {
 public:
  using OpenAiFormat::OpenAiFormat;

  std::string whole(std::span<const Answer> answers, const Usage& usage) override {
    OrderedJson choices = OrderedJson::array();
    for (size_t i = 0; i < answers.size(); ++i) {
      OrderedJson choice = {{"index", i},
                            {"message", message(answers[i])},
                            {"logprobs", logprobs(answers[i].tokens)}};
      add_end(choice, *answers[i].end);
      choices.push_back(std::move(choice));
    }
    OrderedJson more = OrderedJson::object();
    if (settings_.prompt_logprobs) {
      more["prompt_logprobs"] = prompt_logprobs(answers.front().prompt_tokens, tokenizer_);
    }
    return body("chat.completion", std::move(choices), usage, std::move(more));
  }

  std::string piece(size_t answer, const Piece& piece, const Usage& usage) override {
    std::string out = opening(answer, usage);
    // The log-probabilities are the first delta's.
    OrderedJson tokens = logprobs(piece.tokens);
    const auto add = [&](OrderedJson part) {
      out += delta(answer, std::move(part), std::exchange(tokens, nullptr), usage);
    };
    for (const OutputEvent& event : piece.events) {
      if (event.kind != OutputEvent::Kind::call_end) add(event_delta(event));
    }
    if (!tokens.is_null() && !piece.tokens.empty()) add({{"content", ""}});
    return out;
  }

 private:
  const char* chunk_object() const override { return "chat.completion.chunk"; }
  OrderedJson last_part() const override {
    return {{"delta", OrderedJson::object()}, {"logprobs", nullptr}};
  }

  std::string opening(size_t answer, const Usage& usage) override {
    if (opened_.size() <= answer) opened_.resize(answer + 1);
    if (opened_[answer]) return {};
    opened_[answer] = true;
    return delta(answer, {{"role", "assistant"}, {"content", ""}}, nullptr, usage);
  }

  static OrderedJson call_json(const AnsweredCall& call) {
    return {{"id", call.id},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
  }

  static OrderedJson message(const Answer& answer) {
    OrderedJson json = {{"role", "assistant"}, {"content", answer.text}};
    if (answer.text.empty() && !answer.calls.empty()) json["content"] = nullptr;
    if (!answer.reasoning.empty()) json.update(reasoning_json(answer.reasoning));
    if (answer.calls.empty()) return json;
    json["tool_calls"] = OrderedJson::array();
    for (const AnsweredCall& call : answer.calls) json["tool_calls"].push_back(call_json(call));
    return json;
  }

  // Under vLLM's name, and under the one that DeepSeek gave it.
  static OrderedJson reasoning_json(const std::string& text) {
    return {{"reasoning", text}, {"reasoning_content", text}};
  }

  static OrderedJson event_delta(const OutputEvent& event) {
    OrderedJson call = {{"index", event.call}};
    switch (event.kind) {
      case OutputEvent::Kind::reasoning:
        return reasoning_json(event.text);
      case OutputEvent::Kind::call_begin:
        call.update(call_json({event.id, event.text, ""}));
        break;
      case OutputEvent::Kind::call_arguments:
        call["function"] = {{"arguments", event.text}};
        break;
      default:
        return {{"content", event.text}};
    }
    return {{"tool_calls", OrderedJson::array({std::move(call)})}};
  }

  std::string delta(size_t answer, OrderedJson delta, OrderedJson logprobs, const Usage& usage) {
    return chunk({{"index", answer},
                  {"delta", std::move(delta)},
                  {"logprobs", std::move(logprobs)},
                  {"finish_reason", nullptr}},
                 usage);
  }

  OrderedJson logprobs(std::span<const GeneratedToken> tokens) const {
    if (!settings_.top_logprobs) return nullptr;
    return chat_logprobs(tokens, *settings_.top_logprobs, tokenizer_);
  }

  std::vector<bool> opened_;
};

}  // namespace

std::unique_ptr<AnswerFormat> completion_format(AnswerIdentity identity,
                                                const GenerationSettings& settings,
                                                const Tokenizer& tokenizer) {
  return std::make_unique<CompletionFormat>(std::move(identity), settings, tokenizer);
}

std::unique_ptr<AnswerFormat> chat_format(AnswerIdentity identity,
                                          const GenerationSettings& settings,
                                          const Tokenizer& tokenizer) {
  return std::make_unique<ChatFormat>(std::move(identity), settings, tokenizer);
}

}  // namespace lotse
