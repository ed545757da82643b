#include "server/chat_request.h"

#include <nlohmann/json.hpp>

#include "server/json_text.h"
#include "server/messages.h"

namespace lotse {
namespace {

// Enough to see a marker that opens reasoning, and white space after it.
constexpr int64_t kPromptEndTokens = 16;

void set_default(OrderedJson& variables, const char* name, OrderedJson value) {
  if (!variables.is_object()) variables = OrderedJson::object();
  if (!variables.contains(name)) variables[name] = std::move(value);
}

// The names that templates know the switch by; what chat_template_kwargs say counts more.
void set_thinking(OrderedJson& variables, bool thinks) {
  set_default(variables, "enable_thinking", thinks);
  set_default(variables, "thinking", thinks);
}

void set_effort(OrderedJson& variables, const std::string& effort) {
  set_thinking(variables, effort != "none");
  if (effort != "none") set_default(variables, "reasoning_effort", effort);
}

ApiResult<ChatRequest> read_chat_messages(const RequestFields& fields) {
  ChatRequest request;
  request.messages = LOTSE_TRY(read_messages(*fields.find("messages"), "messages"));
  request.rendering = LOTSE_TRY(read_rendering(fields));
  request.shows_reasoning = fields.boolean("include_reasoning").value_or(true);
  if (const auto effort = fields.string("reasoning_effort")) {
    set_effort(request.rendering.variables, *effort);
  }
  return request;
}

ApiResult<ChatRequest> read_response_input(const RequestFields& fields) {
  ChatRequest request;
  request.messages = OrderedJson::array();
  if (const auto instructions = fields.string("instructions")) {
    request.messages.push_back({{"role", "system"}, {"content", *instructions}});
  }
  const OrderedJson& input = *fields.find("input");
  if (input.is_string()) {
    request.messages.push_back({{"role", "user"}, {"content", input}});
  } else {
    OrderedJson items = LOTSE_TRY(read_input_items(input, "input"));
    for (OrderedJson& item : items) request.messages.push_back(std::move(item));
  }
  const OrderedJson* reasoning = fields.find("reasoning");
  if (reasoning == nullptr) return request;
  const OrderedJson effort = reasoning->value("effort", OrderedJson());
  if (effort.is_string()) set_effort(request.rendering.variables, effort);
  return request;
}

ApiResult<ChatRequest> read_anthropic_request(const RequestFields& fields) {
  ChatRequest request;
  request.messages = OrderedJson::array();
  if (const OrderedJson* system = fields.find("system")) {
    request.messages.push_back(
        {{"role", "system"}, {"content", LOTSE_TRY(read_text_parts(*system, "system"))}});
  }
  OrderedJson messages = LOTSE_TRY(read_block_messages(*fields.find("messages"), "messages"));
  for (OrderedJson& message : messages) request.messages.push_back(std::move(message));
  // A last message of the assistant is the beginning of the answer.
  const OrderedJson& last = request.messages.back();
  request.rendering.continues_last = last["role"] == "assistant" && !last.contains("tool_calls");
  request.rendering.begins_answer = !request.rendering.continues_last;
  // This API reasons only where it is asked to.
  const OrderedJson* thinking = fields.find("thinking");
  const OrderedJson type =
      thinking == nullptr ? OrderedJson() : thinking->value("type", OrderedJson());
  request.shows_reasoning = type == "enabled" || type == "adaptive";
  set_thinking(request.rendering.variables, request.shows_reasoning);
  return request;
}

const char* messages_field(Dialect dialect) {
  return dialect == Dialect::responses ? "input" : "messages";
}

bool begins_in_reasoning(const ChatRequest& request, const std::vector<int32_t>& prompt,
                         const ServedModel& model) {
  const size_t end_tokens = std::min<size_t>(prompt.size(), kPromptEndTokens);
  const std::span<const int32_t> end = std::span(prompt).last(end_tokens);
  return !request.rendering.continues_last &&
         opens_reasoning(model.output_format, model.tokenizer.decode(end, false));
}

ApiResult<void> check_tools(const ToolSettings& tools, const ServedModel& model) {
  if (tools.definitions.empty()) return {};
  if (model.output_format.calls == nullptr) {
    return bad_field("tools",
                     "the chat template of \"{}\" shows no known form of tool calls; the "
                     "server's --tool-format names one",
                     model.id);
  }
  return {};
}

ApiResult<std::vector<int32_t>> encode_markers(const std::string& text, const ServedModel& model) {
  auto tokens = model.tokenizer.encode(text, {.add_bos_eos = false, .parse_special = true});
  if (!tokens) return std::unexpected(api_error(tokens.error(), "tool_choice"));
  return *std::move(tokens);
}

}  // namespace

ApiResult<ChatRequest> read_chat(const RequestFields& fields, Dialect dialect) {
  auto request = dialect == Dialect::chat        ? read_chat_messages(fields)
                 : dialect == Dialect::responses ? read_response_input(fields)
                                                 : read_anthropic_request(fields);
  if (!request) return request;
  request->tools = LOTSE_TRY(read_tools(fields, dialect));
  request->rendering.tools = request->tools.definitions;
  return request;
}

ApiResult<std::optional<WantedForm>> wanted_form(const RequestFields& fields,
                                                 std::optional<Dialect> dialect,
                                                 const ServedModel& model) {
  auto form = LOTSE_TRY(read_form(fields));
  if (!dialect) return form;
  const ToolSettings tools = LOTSE_TRY(read_tools(fields, *dialect));
  if (tools.definitions.empty()) return form;
  LOTSE_TRY(check_tools(tools, model));
  const auto call = forced_call(tools, *model.output_format.calls);
  if (!call) return form;
  if (form)
    return bad_field("tool_choice", "a call cannot have the form that {} asks for", form->field);
  const auto schema = call_schema(tools, *call);
  if (!schema) return form;
  return WantedForm{{GrammarKind::json_schema, to_text(*schema)}, "tools"};
}

ApiResult<std::vector<Prompt>> encode_request(ChatRequest request, const RequestFields& fields,
                                              Dialect dialect, const ServedModel& model,
                                              GenerationSettings& settings) {
  LOTSE_TRY(check_tools(request.tools, model));
  std::vector<int32_t> prompt = LOTSE_TRY(encode_chat(
      std::move(request.messages), request.rendering, fields, model, messages_field(dialect)));
  AnswerShape& shape = settings.shape;
  shape.format = model.output_format;
  shape.options = {request.tools.signatures(), begins_in_reasoning(request, prompt, model)};
  shape.parallel_calls = request.tools.parallel;
  shape.shows_reasoning = request.shows_reasoning;
  if (shape.options.begins_in_reasoning) {
    settings.frame.reasoning_close = reasoning_close(shape.format);
  }
  if (shape.format.calls != nullptr) {
    if (const auto call = forced_call(request.tools, *shape.format.calls)) {
      settings.frame.beginning = LOTSE_TRY(encode_markers(call->beginning, model));
    }
  }
  return std::vector<Prompt>{{std::move(prompt)}};
}

OrderedJson repeated_fields(const RequestFields& fields) {
  OrderedJson repeated = OrderedJson::object();
  for (const char* name :
       {"instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}) {
    if (const OrderedJson* value = fields.find(name)) repeated[name] = *value;
  }
  const bool has_tools = repeated.contains("tools") && !repeated["tools"].empty();
  if (!repeated.contains("tool_choice")) repeated["tool_choice"] = has_tools ? "auto" : "none";
  return repeated;
}

}  // namespace lotse
