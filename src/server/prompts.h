// From the prompts and messages of requests to tokens.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
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

struct ChatRendering {
  bool begins_answer = true;    // add_generation_prompt
  bool continues_last = false;  // continue_final_message
  OrderedJson variables = {};   // chat_template_kwargs, or null
  OrderedJson tools = {};       // in OpenAI's form, or null
};
ApiResult<ChatRendering> read_rendering(const RequestFields& fields);

// Messages (see messages.h) through the model's chat template, as a prompt that fits.
ApiResult<std::vector<int32_t>> encode_chat(OrderedJson messages, const ChatRendering& rendering,
                                            const RequestFields& fields, const ServedModel& model,
                                            const char* param);

// Applies truncate_prompt_tokens; an error, with both numbers, for a prompt that leaves no room for
// an answer.
ApiResult<void> fit_prompt(std::vector<int32_t>& tokens, const RequestFields& fields,
                           const ServedModel& model, const char* param);

}  // namespace lotse
