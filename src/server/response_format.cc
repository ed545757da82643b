#include "server/response_format.h"

#include "server/json_text.h"

namespace lotse {
namespace {

using Kind = OutputEvent::Kind;

OrderedJson usage_json(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens.value_or(0)}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens.value_or(0)}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

// One item of the output: a message (Kind::content), reasoning, or a call (Kind::call_begin).
struct OutputItem {
  Kind kind;
  std::string id;
  std::string text = {};  // of message or reasoning; a call's arguments
  std::string call_id = {}, name = {};

  OrderedJson part(const std::string& shown) const {
    if (kind == Kind::reasoning) return {{"type", "reasoning_text"}, {"text", shown}};
    return {{"type", "output_text"},
            {"text", shown},
            {"annotations", OrderedJson::array()},
            {"logprobs", OrderedJson::array()}};
  }

  // `parts` is false while there is none yet.
  OrderedJson json(const char* status, bool parts) const {
    OrderedJson content = OrderedJson::array();
    if (parts) content.push_back(part(text));
    switch (kind) {
      case Kind::call_begin:
        return {{"id", id},     {"type", "function_call"}, {"status", status}, {"call_id", call_id},
                {"name", name}, {"arguments", text}};
      case Kind::reasoning:
        return {{"id", id},
                {"type", "reasoning"},
                {"summary", OrderedJson::array()},
                {"content", std::move(content)},
                {"status", status}};
      default:
        return {{"id", id},
                {"type", "message"},
                {"status", status},
                {"role", "assistant"},
                {"content", std::move(content)}};
    }
  }
};

class ResponseFormat final : public AnswerFormat {
 public:
  ResponseFormat(AnswerIdentity identity, const GenerationSettings& settings, OrderedJson request)
      : identity_(std::move(identity)),
        max_tokens_(settings.max_tokens),
        request_(std::move(request)) {
    temperature_ = static_cast<double>(settings.sampling.temperature);
    top_p_ = static_cast<double>(settings.sampling.top_p);
  }

  std::string whole(std::span<const Answer> answers, const Usage& usage) override {
    const Answer& answer = answers.front();
    was_cut_ = answer.end->outcome.reason == FinishReason::length;
    if (!answer.reasoning.empty()) add_item({Kind::reasoning}).text = answer.reasoning;
    const bool has_others = !answer.reasoning.empty() || !answer.calls.empty();
    if (!answer.text.empty() || !has_others) add_item({Kind::content}).text = answer.text;
    for (const AnsweredCall& call : answer.calls) {
      add_item({Kind::call_begin, call.name, call.id}).text = call.arguments;
    }
    return to_text(ended_response(usage));
  }

  std::string piece(size_t /*answer*/, const Piece& piece, const Usage& /*usage*/) override {
    std::string out = opening();
    for (const OutputEvent& event : piece.events) {
      // A call stays open until it is known whether it was cut.
      if (event.kind == Kind::call_end) continue;
      const bool goes_on =
          event.kind == Kind::call_arguments ||
          (has_open_ && event.kind == items_.back().kind && event.kind != Kind::call_begin);
      if (!goes_on) {
        out += close_item();
        out += open_item(event);
      }
      if (event.kind != Kind::call_begin) out += add_delta(event.text);
    }
    return out;
  }

  std::string end(size_t /*answer*/, const AnswerEnd& end, const Usage& /*usage*/) override {
    std::string out = opening();
    was_cut_ = end.outcome.reason == FinishReason::length;
    if (items_.empty()) out += open_item({});
    return out + close_item();
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

  OrderedJson response(const char* status) const {
    OrderedJson limit = nullptr;
    if (max_tokens_) limit = *max_tokens_;
    OrderedJson json = {{"id", "resp_" + identity_.id},
                        {"object", "response"},
                        {"created_at", identity_.created},
                        {"status", status},
                        {"error", nullptr},
                        {"incomplete_details", nullptr},
                        {"instructions", nullptr},
                        {"max_output_tokens", std::move(limit)},
                        {"model", identity_.model},
                        {"output", OrderedJson::array()},
                        {"parallel_tool_calls", true},
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
    json.update(request_);
    return json;
  }

  OrderedJson ended_response(const Usage& usage) const {
    OrderedJson json = response(status());
    if (was_cut_) json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    for (const OutputItem& item : items_) {
      // Only what was written last can have been cut.
      const bool is_last = &item == &items_.back();
      json["output"].push_back(item.json(is_last ? status() : "completed", true));
    }
    json["usage"] = usage_json(usage);
    return json;
  }

  std::string event(const char* type, OrderedJson fields) {
    OrderedJson json = {{"type", type}, {"sequence_number", next_event_++}};
    json.update(fields);
    return sse(type, json);
  }

  // An event about the last item, or about the one part of its content.
  std::string item_event(const char* type, OrderedJson fields) {
    OrderedJson json = {{"item_id", items_.back().id}, {"output_index", items_.size() - 1}};
    if (items_.back().kind != Kind::call_begin) json["content_index"] = 0;
    json.update(fields);
    return event(type, std::move(json));
  }

  std::string opening() {
    if (next_event_ > 0) return {};
    const OrderedJson begun = response("in_progress");
    std::string out = event("response.created", {{"response", begun}});
    return out + event("response.in_progress", {{"response", begun}});
  }

  OutputItem& add_item(const OutputEvent& begin) {
    const bool is_call = begin.kind == Kind::call_begin;
    const char* prefix = is_call ? "fc_" : begin.kind == Kind::reasoning ? "rs_" : "msg_";
    std::string id = prefix + identity_.id;
    if (!items_.empty()) id += "_" + std::to_string(items_.size());
    items_.push_back({begin.kind, std::move(id)});
    if (is_call) {
      items_.back().name = begin.text;
      items_.back().call_id = begin.id;
    }
    return items_.back();
  }

  std::string open_item(const OutputEvent& begin) {
    const OutputItem& item = add_item(begin);
    has_open_ = true;
    std::string out =
        event("response.output_item.added",
              {{"output_index", items_.size() - 1}, {"item", item.json("in_progress", false)}});
    if (item.kind == Kind::call_begin) return out;
    return out + item_event("response.content_part.added", {{"part", item.part("")}});
  }

  std::string add_delta(const std::string& text) {
    OutputItem& item = items_.back();
    item.text += text;
    switch (item.kind) {
      case Kind::call_begin:
        return item_event("response.function_call_arguments.delta", {{"delta", text}});
      case Kind::reasoning:
        return item_event("response.reasoning_text.delta", {{"delta", text}});
      default:
        return item_event("response.output_text.delta",
                          {{"delta", text}, {"logprobs", OrderedJson::array()}});
    }
  }

  std::string close_item() {
    if (!has_open_) return {};
    has_open_ = false;
    const OutputItem& item = items_.back();
    std::string out;
    if (item.kind == Kind::call_begin) {
      out = item_event("response.function_call_arguments.done",
                       {{"name", item.name}, {"arguments", item.text}});
    } else {
      out = item.kind == Kind::reasoning
                ? item_event("response.reasoning_text.done", {{"text", item.text}})
                : item_event("response.output_text.done",
                             {{"text", item.text}, {"logprobs", OrderedJson::array()}});
      out += item_event("response.content_part.done", {{"part", item.part(item.text)}});
    }
    return out + event("response.output_item.done",
                       {{"output_index", items_.size() - 1}, {"item", item.json(status(), true)}});
  }

  AnswerIdentity identity_;
  std::optional<int64_t> max_tokens_;
  OrderedJson request_;
  double temperature_, top_p_;
  std::vector<OutputItem> items_;
  bool has_open_ = false;
  bool was_cut_ = false;
  int64_t next_event_ = 0;
};

}  // namespace

std::unique_ptr<AnswerFormat> response_format(AnswerIdentity identity,
                                              const GenerationSettings& settings,
                                              OrderedJson request) {
  return std::make_unique<ResponseFormat>(std::move(identity), settings, std::move(request));
}

}  // namespace lotse
