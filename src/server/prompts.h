// From the prompts and messages of requests to tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/fields.h"
#include "server/served_model.h"

namespace lotse {

// Prompts of a request times answers to each.
inline constexpr size_t kMaxChoices = 256;

struct Prompt {
  std::vector<int32_t> tokens;
};

// `prompt` of a completion: a text, texts, tokens, or lists of tokens.
ApiResult<std::vector<Prompt>> read_prompts(const RequestFields& fields, const ServedModel& model);

// The text of `prompt` alone, as /tokenize has it.
ApiResult<std::vector<int32_t>> encode_text(const std::string& text, bool add_special,
                                            const ServedModel& model);

// `messages` as templates expect them: contents are texts, arguments of past tool calls objects.
// Errors name the message and its field.
ApiResult<OrderedJson> read_messages(const OrderedJson& messages);

// Messages through the model's chat template, with what else the request says of the rendering.
ApiResult<std::vector<int32_t>> encode_chat(OrderedJson messages, const RequestFields& fields,
                                            const ServedModel& model);

// Applies truncate_prompt_tokens; an error, with both numbers, for a prompt that leaves no room for
// an answer.
ApiResult<void> fit_prompt(std::vector<int32_t>& tokens, const RequestFields& fields,
                           const ServedModel& model, const char* param);

}  // namespace lotse
