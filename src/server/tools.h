// The tools that a request offers to the model, and whether it must call one.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/output/call_frame.h"
#include "engine/output/output_parser.h"
#include "server/fields.h"

namespace lotse {

// How requests are written.
enum class Dialect : uint8_t { chat, responses, messages };

enum class ToolChoice : uint8_t { none, automatic, required, named };

struct ToolSettings {
  // As /v1/chat/completions has them, which is what templates expect. Empty when there are none, or
  // none is to be called.
  OrderedJson definitions = OrderedJson::array();
  ToolChoice choice = ToolChoice::none;
  std::string name;      // the one to call, where it is named
  bool parallel = true;  // more than one call in an answer

  // Those that may be called.
  std::vector<ToolSignature> signatures() const;
};

// What the answer must be where the choice leaves it none: the frame of a call.
std::optional<CallFrame> forced_call(const ToolSettings& tools, const CallFormat& format);
// The JSON schema of what follows the frame's beginning; nothing where anything may.
std::optional<OrderedJson> call_schema(const ToolSettings& tools, const CallFrame& frame);

// Reads tools, tool_choice and, outside of Anthropic's, parallel_tool_calls. Errors name the field.
ApiResult<ToolSettings> read_tools(const RequestFields& fields, Dialect dialect);

}  // namespace lotse
