#include "server/prompts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lotse {
namespace {

constexpr const char* kRoles[] = {"system", "developer", "user", "assistant", "tool"};

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

ApiResult<std::string> part_text(const OrderedJson& part, const std::string& where) {
  const bool typed = part.is_object() && part.contains("type") && part["type"].is_string();
  if (!typed) return bad_field(where, "expected objects with a type");
  const std::string type = part["type"];
  if (type != "text" && type != "input_text" && type != "output_text") {
    return bad_field(where, "parts of type \"{}\" are not supported; only text is",
                     type.substr(0, 40));
  }
  if (!part.contains("text") || !part["text"].is_string()) {
    return bad_field(where, "a part of type \"{}\" needs a text", type);
  }
  return part["text"].get<std::string>();
}

ApiResult<OrderedJson> read_message(const OrderedJson& message, const std::string& where) {
  if (!message.is_object()) return bad_field(where, "expected an object with role and content");
  if (message.contains("type") && message["type"] != "message") {
    return bad_field(where + ".type", "only messages are supported");
  }
  const auto role = message.find("role");
  const bool known = role != message.end() && role->is_string() &&
                     std::ranges::find(kRoles, role->get<std::string>()) != std::end(kRoles);
  if (!known) {
    return bad_field(where + ".role", "expected system, developer, user, assistant or tool");
  }
  OrderedJson result;
  // What newer clients call "developer" is "system" to the templates.
  result["role"] = *role == "developer" ? OrderedJson("system") : *role;
  const auto content = message.find("content");
  const bool has_content = content != message.end() && !content->is_null();
  result["content"] =
      has_content ? LOTSE_TRY(read_text_parts(*content, where + ".content")) : std::string();
  for (const char* key : {"name", "tool_call_id", "reasoning_content"}) {
    if (message.contains(key) && message[key].is_string()) result[key] = message[key];
  }
  if (message.contains("tool_calls") && !message["tool_calls"].is_null()) {
    return bad_field(where + ".tool_calls", "tool calls are not supported yet");
  }
  return result;
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

ApiResult<std::string> read_text_parts(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return bad_field(where, "expected a string or an array of text parts");
  std::string text;
  for (const OrderedJson& part : content) {
    if (&part != &content.front()) text += '\n';
    text += LOTSE_TRY(part_text(part, where));
  }
  return text;
}

ApiResult<OrderedJson> read_messages(const OrderedJson& messages, const std::string& field) {
  if (messages.empty()) return bad_field(field, "expected at least one message");
  OrderedJson result = OrderedJson::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    result.push_back(LOTSE_TRY(read_message(messages[i], fmt::format("{}[{}]", field, i))));
  }
  return result;
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
  std::optional<std::string> open_end;
  if (rendering.continues_last) open_end = messages.back()["content"].get<std::string>();
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
