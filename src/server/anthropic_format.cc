#include "server/anthropic_format.h"

#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

const char* anthropic_type(int status) {
  if (status == 413) return "request_too_large";
  if (status == 503) return "overloaded_error";
  return status >= 500 ? "api_error" : error_type(status);
}

// Tokens found in the cache are counted apart from those that were computed.
OrderedJson usage_json(const Usage& usage) {
  const int64_t cached = usage.cached_tokens.value_or(0);
  return {{"input_tokens", usage.prompt_tokens - cached},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", cached},
          {"output_tokens", usage.completion_tokens}};
}

const char* stop_reason(const AnswerEnd& end) {
  if (end.stop_string) return "stop_sequence";
  return end.outcome.reason == FinishReason::length ? "max_tokens" : "end_turn";
}

OrderedJson stop_sequence(const AnswerEnd& end) {
  return end.stop_string ? OrderedJson(*end.stop_string) : OrderedJson(nullptr);
}

// One event, whose name is its type.
std::string event(const char* type, OrderedJson fields) {
  OrderedJson json = {{"type", type}};
  json.update(fields);
  return sse(type, json);
}

class AnthropicFormat final : public AnswerFormat {
 public:
  AnthropicFormat(std::string id, std::string model)
      : id_(std::move(id)), model_(std::move(model)) {}

  std::string whole(std::span<const Answer> answers, const Usage& usage) override {
    const Answer& answer = answers.front();
    OrderedJson json = message(usage);
    json["content"] = OrderedJson::array({{{"type", "text"}, {"text", answer.text}}});
    json["stop_reason"] = stop_reason(*answer.end);
    json["stop_sequence"] = stop_sequence(*answer.end);
    return to_text(json);
  }

  std::string piece(size_t /*answer*/, const Piece& piece, const Usage& usage) override {
    std::string out = opening(usage);
    if (piece.text.empty()) return out;
    return out + event("content_block_delta",
                       {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", piece.text}}}});
  }

  std::string end(size_t /*answer*/, const AnswerEnd& end, const Usage& usage) override {
    return opening(usage) + event("content_block_stop", {{"index", 0}}) +
           event("message_delta",
                 {{"delta",
                   {{"stop_reason", stop_reason(end)}, {"stop_sequence", stop_sequence(end)}}},
                  {"usage", usage_json(usage)}});
  }

  std::string finish(const Usage& /*usage*/) override {
    return event("message_stop", OrderedJson::object());
  }

  std::string failure(const ApiError& error) override {
    return "event: error\ndata: " + anthropic_error(error) + "\n\n";
  }

 private:
  OrderedJson message(const Usage& usage) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_},
            {"content", OrderedJson::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr},
            {"usage", usage_json(usage)}};
  }

  std::string opening(const Usage& usage) {
    if (is_open_) return {};
    is_open_ = true;
    Usage before = usage;
    before.completion_tokens = 0;
    before.cached_tokens.reset();
    const OrderedJson block = {{"type", "text"}, {"text", ""}};
    return event("message_start", {{"message", message(before)}}) +
           event("content_block_start", {{"index", 0}, {"content_block", block}});
  }

  std::string id_, model_;
  bool is_open_ = false;
};

}  // namespace

std::unique_ptr<AnswerFormat> anthropic_format(std::string id, std::string model) {
  return std::make_unique<AnthropicFormat>(std::move(id), std::move(model));
}

std::string anthropic_error(const ApiError& error) {
  return to_text({{"type", "error"},
                  {"error", {{"type", anthropic_type(error.status)}, {"message", error.message}}}});
}

}  // namespace lotse
