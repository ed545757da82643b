// How a model is made to call a tool: what its answer begins with, and what must follow.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/output/output_parser.h"

namespace lotse {

enum class CallRest : uint8_t {
  object,     // {"name": …, "arguments": {…}}
  list,       // of such objects
  arguments,  // {…}
  free,       // what no JSON schema can describe
};

struct CallFrame {
  std::string beginning;  // of the answer; markers in it may be special tokens
  CallRest rest = CallRest::free;
  std::string_view arguments_key = "arguments";  // of the object
};

// For a call of the tool with this name; without one, of any.
CallFrame call_frame(const CallFormat& format, const std::optional<std::string>& tool);

}  // namespace lotse
