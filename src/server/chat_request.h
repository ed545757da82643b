// Conversations with tools and reasoning, from the fields of any of the three APIs to a prompt.
#pragma once

#include <optional>
#include <vector>

#include "server/prompts.h"
#include "server/settings.h"
#include "server/structured_output.h"
#include "server/tools.h"

namespace lotse {

struct ChatRequest {
  OrderedJson messages;  // see messages.h
  ChatRendering rendering;
  ToolSettings tools;
  bool shows_reasoning = true;
};

ApiResult<ChatRequest> read_chat(const RequestFields& fields, Dialect dialect);

// The form of the answer that the request asks for, by the fields of structured output or by
// tool_choice. `dialect` is nothing for endpoints without conversations.
ApiResult<std::optional<WantedForm>> wanted_form(const RequestFields& fields,
                                                 std::optional<Dialect> dialect,
                                                 const ServedModel& model);

// The prompt; sets the answer's shape and frame. Errors name the field that `dialect` has the
// messages in.
ApiResult<std::vector<Prompt>> encode_request(ChatRequest request, const RequestFields& fields,
                                              Dialect dialect, const ServedModel& model,
                                              GenerationSettings& settings);

// What a response of /v1/responses repeats of its request.
OrderedJson repeated_fields(const RequestFields& fields);

}  // namespace lotse
