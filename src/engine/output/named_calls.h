// Calls as a name and a JSON object with markers between them.
#pragma once

#include "engine/output/call_parser.h"

namespace lotse {

// NAME[ARGS]{…}, NAME[CALL_ID]ID[ARGS]{…}, or the older list of JSON objects.
std::unique_ptr<CallBody> mistral_calls(const Tools& tools);
// After <｜tool▁calls▁begin｜>: <｜tool▁call▁begin｜> and what deepseek_call() takes.
std::unique_ptr<CallBody> deepseek_section(const Tools& tools);
// NAME<｜tool▁sep｜>{…} (V3.1), or function<｜tool▁sep｜>NAME, a line end, and {…} in a fence
// ```json (V3, R1).
std::unique_ptr<CallBody> deepseek_call(const Tools& tools);
// After <|tool_calls_section_begin|>: <|tool_call_begin|> and what kimi_call() takes.
std::unique_ptr<CallBody> kimi_section(const Tools& tools);
// functions.NAME:NUMBER<|tool_call_argument_begin|>{…}
std::unique_ptr<CallBody> kimi_call(const Tools& tools);
// NAME>{…}
std::unique_ptr<CallBody> functionary_call(const Tools& tools);

}  // namespace lotse
