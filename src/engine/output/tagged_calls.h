// Calls whose parameters stand between tags, one pair each.
#pragma once

#include "engine/output/call_parser.h"

namespace lotse {

// After <tool_call>:
//   <function=NAME> <parameter=KEY> VALUE </parameter> … </function>
std::unique_ptr<CallBody> qwen_calls(const Tools& tools);
std::unique_ptr<CallBody> qwen_call(const Tools& tools);  // after <function=

// After <tool_call>:
//   NAME <arg_key>KEY</arg_key> <arg_value>VALUE</arg_value> … </tool_call>
std::unique_ptr<CallBody> glm_call(const Tools& tools);

// After <minimax:tool_call>:
//   <invoke name="NAME"> <parameter name="KEY">VALUE</parameter> … </invoke>
std::unique_ptr<CallBody> minimax_calls(const Tools& tools);
std::unique_ptr<CallBody> minimax_call(const Tools& tools);  // after <invoke name="

// The same with <｜DSML｜function_calls> and ｜DSML｜ in every tag.
std::unique_ptr<CallBody> dsml_calls(const Tools& tools);
std::unique_ptr<CallBody> dsml_call(const Tools& tools);

}  // namespace lotse
