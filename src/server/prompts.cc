#include "server/prompts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

std::unexpected<ApiError> too_long(std::string message, const char* param) {
  return std::unexpected(ApiError{400, std::move(message), param, "context_length_exceeded"});
}

// Refuses, before any work, a text that cannot fit in the context.
ApiResult<void> check_length(size_t bytes, const RequestFields* fields, const ServedModel& model,
                             const char* param) {
  if (fields != nullptr && fields->find("truncate_prompt_tokens") != nullptr) return {};
  const int64_t most = model.context * model.max_token_bytes;
  if (static_cast<int64_t>(bytes) <= most) return {};
  return too_long(fmt::format("{}: the text has {} bytes, and the context of {} tokens holds at "
                              "most {}",
                              param, bytes, model.context, most),
                  param);
}

ApiResult<std::vector<int32_t>> read_tokens(const OrderedJson& list, const ServedModel& model) {
  std::vector<int32_t> tokens;
  tokens.reserve(list.size());
  for (const OrderedJson& item : list) {
    const bool known = item.is_number_integer() && item.get<int64_t>() >= 0 &&
                       item.get<int64_t>() < model.vocabulary;
    if (!known) {
      return bad_field("prompt", "expected token ids from 0 to {}, got {}", model.vocabulary - 1,
                       item.is_primitive() ? item.dump(-1, ' ', true).substr(0, 40) : "a list");
    }
    tokens.push_back(item.get<int32_t>());
  }
  return tokens;
}

// Writes a message that calls tools as the template takes it.
void apply_style(OrderedJson& message, const CallMessageStyle& style) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end()) return;
  if (style.arguments_are_text) {
    for (OrderedJson& call : *calls) {
      OrderedJson& arguments = call["function"]["arguments"];
      if (!arguments.is_string()) arguments = to_text(arguments);
    }
  }
  OrderedJson& content = message["content"];
  if (style.content_is_null && content == "") content = nullptr;
}

}  // namespace

ApiResult<std::vector<int32_t>> encode_text(const std::string& text, bool add_special,
                                            const ServedModel& model) {
  auto tokens = model.tokenizer.encode(text, {.add_bos_eos = add_special, .parse_special = false});
  if (!tokens) return std::unexpected(api_error(tokens.error(), "prompt"));
  return *std::move(tokens);
}

ApiResult<std::vector<Prompt>> read_prompts(const RequestFields& fields, const ServedModel& model) {
  const OrderedJson& prompt = *fields.find("prompt");
  const bool add_special = fields.boolean("add_special_tokens").value_or(true);
  const auto read_text = [&](const OrderedJson& text) -> ApiResult<Prompt> {
    const auto& string = text.get_ref<const std::string&>();
    LOTSE_TRY(check_length(string.size(), &fields, model, "prompt"));
    return Prompt{LOTSE_TRY(encode_text(string, add_special, model))};
  };
  std::vector<Prompt> prompts;
  if (prompt.is_string()) {
    prompts.push_back(LOTSE_TRY(read_text(prompt)));
  } else if (prompt.empty()) {
    return bad_field("prompt", "the array is empty");
  } else if (prompt.front().is_number()) {
    prompts.push_back({LOTSE_TRY(read_tokens(prompt, model))});
  } else {
    if (prompt.size() > kMaxChoices) {
      return bad_field("prompt", "expected at most {} prompts, got {}", kMaxChoices, prompt.size());
    }
    for (const OrderedJson& item : prompt) {
      if (item.is_string()) {
        prompts.push_back(LOTSE_TRY(read_text(item)));
      } else if (item.is_array()) {
        prompts.push_back({LOTSE_TRY(read_tokens(item, model))});
      } else {
        return bad_field("prompt", "expected strings, or arrays of token ids");
      }
    }
  }
  for (Prompt& item : prompts) LOTSE_TRY(fit_prompt(item.tokens, fields, model, "prompt"));
  return prompts;
}

ApiResult<ChatRendering> read_rendering(const RequestFields& fields) {
  ChatRendering rendering;
  rendering.continues_last = fields.boolean("continue_final_message").value_or(false);
  rendering.begins_answer =
      fields.boolean("add_generation_prompt").value_or(!rendering.continues_last);
  if (rendering.continues_last && rendering.begins_answer) {
    return bad_field("continue_final_message", "cannot be true while add_generation_prompt is");
  }
  if (const OrderedJson* variables = fields.find("chat_template_kwargs")) {
    rendering.variables = *variables;
  }
  return rendering;
}

ApiResult<std::vector<int32_t>> encode_chat(OrderedJson messages, const ChatRendering& rendering,
                                            const RequestFields& fields, const ServedModel& model,
                                            const char* param) {
  if (model.chat == nullptr) {
    return bad_field(param, "the model \"{}\" has no chat template; use /v1/completions", model.id);
  }
  size_t bytes = 0;
  for (const OrderedJson& message : messages) {
    bytes += message["content"].get_ref<const std::string&>().size();
  }
  LOTSE_TRY(check_length(bytes, &fields, model, param));
  OrderedJson context = rendering.variables;
  context["add_generation_prompt"] = rendering.begins_answer;
  if (!rendering.tools.empty()) context["tools"] = rendering.tools;
  std::optional<std::string> open_end;
  if (rendering.continues_last) open_end = messages.back()["content"].get<std::string>();
  for (OrderedJson& message : messages) apply_style(message, model.chat->call_style());
  context["messages"] = std::move(messages);
  auto tokens = model.chat->encode(model.tokenizer, context, open_end);
  if (!tokens) {
    ApiError error = api_error(tokens.error(), param);
    error.status = 400;  // a budget of the template, too, is the request's matter
    error.code.clear();
    error.retry_after_seconds = 0;
    return std::unexpected(std::move(error));
  }
  LOTSE_TRY(fit_prompt(*tokens, fields, model, param));
  return *std::move(tokens);
}

ApiResult<void> fit_prompt(std::vector<int32_t>& tokens, const RequestFields& fields,
                           const ServedModel& model, const char* param) {
  if (auto most = fields.integer("truncate_prompt_tokens")) {
    if (*most < 0) most = model.context - 1;
    if (std::ssize(tokens) > *most) tokens.erase(tokens.begin(), tokens.end() - *most);
  }
  if (tokens.empty()) return bad_field(param, "the prompt has no tokens");
  if (std::ssize(tokens) < model.context) return {};
  return too_long(
      fmt::format("{}: the prompt has {} tokens, and the context of {} must hold it and "
                  "an answer",
                  param, tokens.size(), model.context),
      param);
}

}  // namespace lotse
