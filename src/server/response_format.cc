#include "server/response_format.h"

#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

OrderedJson usage_json(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens.value_or(0)}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

OrderedJson text_part(const std::string& text) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", OrderedJson::array()},
          {"logprobs", OrderedJson::array()}};
}

class ResponseFormat final : public AnswerFormat {
 public:
  ResponseFormat(AnswerIdentity identity, const GenerationSettings& settings,
                 std::optional<std::string> instructions)
      : identity_(std::move(identity)), max_tokens_(settings.max_tokens) {
    if (instructions) instructions_ = *instructions;
    temperature_ = static_cast<double>(settings.sampling.temperature);
    top_p_ = static_cast<double>(settings.sampling.top_p);
  }

  std::string whole(std::span<const Answer> answers, const Usage& usage) override {
    text_ = answers.front().text;
    was_cut_ = answers.front().end->outcome.reason == FinishReason::length;
    return to_text(ended_response(usage));
  }

  std::string piece(size_t /*answer*/, const Piece& piece, const Usage& /*usage*/) override {
    std::string out = opening();
    if (piece.text.empty()) return out;
    text_ += piece.text;
    return out + part_event("response.output_text.delta",
                            {{"delta", piece.text}, {"logprobs", OrderedJson::array()}});
  }

  std::string end(size_t /*answer*/, const AnswerEnd& end, const Usage& /*usage*/) override {
    std::string out = opening();
    was_cut_ = end.outcome.reason == FinishReason::length;
    out += part_event("response.output_text.done",
                      {{"text", text_}, {"logprobs", OrderedJson::array()}});
    out += part_event("response.content_part.done", {{"part", text_part(text_)}});
    return out + event("response.output_item.done",
                       {{"output_index", 0},
                        {"item", item(status(), OrderedJson::array({text_part(text_)}))}});
  }

  std::string finish(const Usage& usage) override {
    return event(was_cut_ ? "response.incomplete" : "response.completed",
                 {{"response", ended_response(usage)}});
  }

  std::string failure(const ApiError& error) override {
    return event("error", {{"code", error.code}, {"message", error.message}, {"param", nullptr}});
  }

 private:
  const char* status() const { return was_cut_ ? "incomplete" : "completed"; }

  OrderedJson item(const char* status, OrderedJson content) const {
    return {{"id", "msg_" + identity_.id},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  OrderedJson response(const char* status) const {
    OrderedJson limit = nullptr;
    if (max_tokens_) limit = *max_tokens_;
    return {{"id", "resp_" + identity_.id},
            {"object", "response"},
            {"created_at", identity_.created},
            {"status", status},
            {"error", nullptr},
            {"incomplete_details", nullptr},
            {"instructions", instructions_},
            {"max_output_tokens", std::move(limit)},
            {"model", identity_.model},
            {"output", OrderedJson::array()},
            {"parallel_tool_calls", false},
            {"previous_response_id", nullptr},
            {"store", false},
            {"temperature", temperature_},
            {"text", {{"format", {{"type", "text"}}}}},
            {"tool_choice", "none"},
            {"tools", OrderedJson::array()},
            {"top_p", top_p_},
            {"truncation", "disabled"},
            {"usage", nullptr},
            {"metadata", OrderedJson::object()}};
  }

  OrderedJson ended_response(const Usage& usage) const {
    OrderedJson json = response(status());
    if (was_cut_) json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    json["output"] = OrderedJson::array({item(status(), OrderedJson::array({text_part(text_)}))});
    json["usage"] = usage_json(usage);
    return json;
  }

  std::string event(const char* type, OrderedJson fields) {
    OrderedJson json = {{"type", type}, {"sequence_number", next_event_++}};
    json.update(fields);
    return sse(type, json);
  }

  // An event about the one part of the one item.
  std::string part_event(const char* type, OrderedJson fields) {
    OrderedJson json = {
        {"item_id", "msg_" + identity_.id}, {"output_index", 0}, {"content_index", 0}};
    json.update(fields);
    return event(type, std::move(json));
  }

  std::string opening() {
    if (next_event_ > 0) return {};
    const OrderedJson begun = response("in_progress");
    std::string out = event("response.created", {{"response", begun}});
    out += event("response.in_progress", {{"response", begun}});
    out += event("response.output_item.added",
                 {{"output_index", 0}, {"item", item("in_progress", OrderedJson::array())}});
    return out + part_event("response.content_part.added", {{"part", text_part("")}});
  }

  AnswerIdentity identity_;
  std::optional<int64_t> max_tokens_;
  OrderedJson instructions_;  // null without any
  double temperature_, top_p_;
  std::string text_;
  bool was_cut_ = false;
  int64_t next_event_ = 0;
};

}  // namespace

std::unique_ptr<AnswerFormat> response_format(AnswerIdentity identity,
                                              const GenerationSettings& settings,
                                              std::optional<std::string> instructions) {
  return std::make_unique<ResponseFormat>(std::move(identity), settings, std::move(instructions));
}

}  // namespace lotse
