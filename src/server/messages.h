// Conversations as the three APIs write them, in the form that chat templates take: objects with
// role and content (a text), and of the assistant's also reasoning_content and tool_calls. The
// arguments of a call are an object, or a text where the request's are no JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "chat_template/chat_template.h"
#include "server/api_error.h"

namespace lotse {

// `messages` of /v1/chat/completions. Errors of all of these name message and field.
ApiResult<OrderedJson> read_messages(const OrderedJson& messages, const std::string& field);
// `input` of /v1/responses, an array: messages, reasoning, calls and their outputs.
ApiResult<OrderedJson> read_input_items(const OrderedJson& items, const std::string& field);
// `messages` of /v1/messages: contents may be blocks.
ApiResult<OrderedJson> read_block_messages(const OrderedJson& messages, const std::string& field);

// A text, or an array of text parts, which line ends join.
ApiResult<std::string> read_text_parts(const OrderedJson& content, const std::string& where);

// A call of a tool within a message. `arguments` may be JSON text.
OrderedJson call_json(std::string id, std::string name, const OrderedJson& arguments);

}  // namespace lotse
