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
  if (end.outcome.reason == FinishReason::length) return "max_tokens";
  if (end.has_calls) return "tool_use";
  return end.stop_string ? "stop_sequence" : "end_turn";
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
    json["content"] = content(answer);
    json["stop_reason"] = stop_reason(*answer.end);
    json["stop_sequence"] = stop_sequence(*answer.end);
    return to_text(json);
  }

  std::string piece(size_t /*answer*/, const Piece& piece, const Usage& usage) override {
    std::string out = opening(usage);
    for (const OutputEvent& event : piece.events) {
      if (event.kind == OutputEvent::Kind::call_end) continue;
      const OutputEvent::Kind block = event.kind == OutputEvent::Kind::call_arguments
                                          ? OutputEvent::Kind::call_begin
                                          : event.kind;
      if (block_ != block || event.kind == OutputEvent::Kind::call_begin) {
        out += close_block();
        out += open_block(event);
      }
      if (event.kind != OutputEvent::Kind::call_begin) out += delta(event);
    }
    return out;
  }

  std::string end(size_t /*answer*/, const AnswerEnd& end, const Usage& usage) override {
    std::string out = opening(usage);
    if (next_block_ == 0) out += open_block({});  // clients expect some content
    out += close_block();
    return out +
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
    return event("message_start", {{"message", message(before)}});
  }

  static OrderedJson thinking_block(const std::string& text) {
    return {{"type", "thinking"}, {"thinking", text}, {"signature", ""}};
  }
  static OrderedJson text_block(const std::string& text) {
    return {{"type", "text"}, {"text", text}};
  }
  static OrderedJson call_block(const std::string& id, const std::string& name, OrderedJson input) {
    return {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", std::move(input)}};
  }

  static OrderedJson content(const Answer& answer) {
    OrderedJson blocks = OrderedJson::array();
    if (!answer.reasoning.empty()) blocks.push_back(thinking_block(answer.reasoning));
    const bool has_others = !answer.reasoning.empty() || !answer.calls.empty();
    if (!answer.text.empty() || !has_others) blocks.push_back(text_block(answer.text));
    for (const AnsweredCall& call : answer.calls) {
      // What the answer's end cut off is no object; nothing of it can be shown here.
      OrderedJson input = OrderedJson::parse(call.arguments, nullptr, false);
      if (!input.is_object()) input = OrderedJson::object();
      blocks.push_back(call_block(call.id, call.name, std::move(input)));
    }
    return blocks;
  }

  std::string open_block(const OutputEvent& begin) {
    OrderedJson block = text_block("");
    block_ = OutputEvent::Kind::content;
    if (begin.kind == OutputEvent::Kind::reasoning) {
      block = thinking_block("");
      block_ = begin.kind;
    } else if (begin.kind == OutputEvent::Kind::call_begin) {
      block = call_block(begin.id, begin.text, OrderedJson::object());
      block_ = begin.kind;
    }
    return event("content_block_start", {{"index", next_block_++}, {"content_block", block}});
  }

  std::string close_block() {
    if (!block_) return {};
    block_.reset();
    return event("content_block_stop", {{"index", next_block_ - 1}});
  }

  std::string delta(const OutputEvent& part) const {
    OrderedJson delta = {{"type", "text_delta"}, {"text", part.text}};
    if (part.kind == OutputEvent::Kind::reasoning) {
      delta = {{"type", "thinking_delta"}, {"thinking", part.text}};
    } else if (part.kind == OutputEvent::Kind::call_arguments) {
      delta = {{"type", "input_json_delta"}, {"partial_json", part.text}};
    }
    return event("content_block_delta", {{"index", next_block_ - 1}, {"delta", std::move(delta)}});
  }

  std::string id_, model_;
  bool is_open_ = false;
  std::optional<OutputEvent::Kind> block_;  // that is open: content, reasoning or call_begin
  int64_t next_block_ = 0;
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
