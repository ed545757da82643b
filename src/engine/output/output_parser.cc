#include "engine/output/output_parser.h"

#include <algorithm>

#include "engine/output/harmony_parser.h"
#include "engine/output/json_calls.h"
#include "engine/output/named_calls.h"
#include "engine/output/reasoning_parser.h"
#include "engine/output/tagged_calls.h"

namespace lotse {
namespace {

struct DetectedCallFormat {
  CallFormat format;
  std::vector<std::string_view> in_template;  // all of these: the format is meant
};

// The first that a template shows counts.
const std::vector<DetectedCallFormat>& known_call_formats() {
  static const std::vector<DetectedCallFormat> formats = {
      {{.name = "harmony",
        .openings = {},
        .other_markers = {"<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>",
                          "<|return|>", "<|constrain|>"},
        .forced = {CallRest::arguments, "<|channel|>commentary to=functions.",
                   " <|constrain|>json<|message|>"},
        .make_parser = harmony_parser},
       {"<|channel|>"}},
      {{.name = "deepseek-v3.2",
        .openings = {{"<｜DSML｜function_calls>", dsml_calls},
                     {"<｜DSML｜invoke name=\"", dsml_call}},
        .closings = {"</｜DSML｜function_calls>"},
        .other_markers = {"｜DSML｜"},
        .forced = {CallRest::free, "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"", "\">\n"}},
       {"｜DSML｜"}},
      {{.name = "deepseek",
        .openings = {{"<｜tool▁calls▁begin｜>", deepseek_section},
                     {"<｜tool▁call▁begin｜>", deepseek_call}},
        .closings = {"```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"},
        .other_markers = {"<｜tool▁sep｜>"},
        .forced = {CallRest::arguments, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
                   "<｜tool▁sep｜>"}},
       {"<｜tool▁calls▁begin｜>"}},
      {{.name = "kimi-k2",
        .openings = {{"<|tool_calls_section_begin|>", kimi_section},
                     {"<|tool_call_begin|>", kimi_call}},
        .closings = {"<|tool_call_end|>", "<|tool_calls_section_end|>"},
        .other_markers = {"<|tool_call_argument_begin|>"},
        .forced = {CallRest::arguments, "<|tool_calls_section_begin|><|tool_call_begin|>functions.",
                   ":0<|tool_call_argument_begin|>"}},
       {"<|tool_calls_section_begin|>"}},
      {{.name = "minimax-m2",
        .openings = {{"<minimax:tool_call>", minimax_calls}, {"<invoke name=\"", minimax_call}},
        .closings = {"</minimax:tool_call>"},
        .forced = {CallRest::free, "<minimax:tool_call>\n<invoke name=\"", "\">\n"}},
       {"<minimax:tool_call>"}},
      {{.name = "seed-oss",
        .openings = {{"<seed:tool_call>", qwen_calls}, {"<function=", qwen_call}},
        .closings = {"</seed:tool_call>"},
        .forced = {CallRest::free, "<seed:tool_call>\n<function=", ">\n"}},
       {"<seed:tool_call>"}},
      {{.name = "glm-4.5",
        .openings = {{"<tool_call>", glm_call}},
        .other_markers = {"</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"},
        .forced = {CallRest::free, "<tool_call>", "\n"}},
       {"<arg_key>", "<tool_call>"}},
      {{.name = "qwen3-coder",
        .openings = {{"<tool_call>", qwen_calls}, {"<function=", qwen_call}},
        .closings = {"</tool_call>"},
        .forced = {CallRest::free, "<tool_call>\n<function=", ">\n"}},
       {"<function=", "<tool_call>"}},
      {{.name = "functionary",
        .openings = {{"<function=", functionary_call}},
        .closings = {"</function>"},
        .forced = {CallRest::arguments, "<function=", ">"}},
       {"<function="}},
      {{.name = "hermes",
        .openings = {{"<tool_call>", json_calls}},
        .closings = {"</tool_call>"},
        .forced = {CallRest::object, "<tool_call>\n"}},
       {"<tool_call>"}},
      {{.name = "nemotron",
        .openings = {{"<TOOLCALL>", json_calls}},
        .closings = {"</TOOLCALL>"},
        .forced = {CallRest::list, "<TOOLCALL>"}},
       {"<TOOLCALL>"}},
      {{.name = "granite",
        .openings = {{"<|tool_call|>", json_calls}},
        .forced = {CallRest::list, "<|tool_call|>"}},
       {"<|tool_call|>"}},
      {{.name = "mistral",
        .openings = {{"[TOOL_CALLS]", mistral_calls}},
        .other_markers = {"[CALL_ID]", "[ARGS]"},
        .forced = {CallRest::list, "[TOOL_CALLS]"}},
       {"[TOOL_CALLS]"}},
      {{.name = "firefunction",
        .openings = {{"functools", json_calls}},
        .forced = {CallRest::list, " functools"}},
       {"functools["}},
      {{.name = "llama3",
        .openings = {{"<|python_tag|>", json_calls}},
        .closings = {";"},
        .make_bare_body = json_calls_of_tools,
        .bare_begin = '{',
        .forced = {CallRest::object, "", "", "parameters"}},
       {"<|start_header_id|>", "\"parameters\""}},
  };
  return formats;
}

constexpr ReasoningTags kReasoningTags[] = {
    {"<seed:think>", "</seed:think>"}, {"[THINK]", "[/THINK]"}, {"<think>", "</think>"}};

// Everything is content.
class PlainParser final : public OutputParser {
 public:
  std::vector<OutputEvent> push(std::string_view text) override {
    std::vector<OutputEvent> events;
    add_text(events, OutputEvent::Kind::content, text);
    return events;
  }
  std::vector<OutputEvent> finish() override { return {}; }
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

OutputFormat detect_output_format(std::string_view chat_template) {
  OutputFormat format;
  for (const auto& known : known_call_formats()) {
    const bool shown = std::ranges::all_of(known.in_template, [&](std::string_view marker) {
      return contains(chat_template, marker);
    });
    if (!shown) continue;
    format.calls = &known.format;
    break;
  }
  for (const ReasoningTags& tags : kReasoningTags) {
    if (!contains(chat_template, tags.close)) continue;
    format.reasoning = &tags;
    break;
  }
  return format;
}

const CallFormat* find_call_format(std::string_view name) {
  for (const auto& known : known_call_formats()) {
    if (known.format.name == name) return &known.format;
  }
  return nullptr;
}

std::vector<std::string_view> call_format_names() {
  std::vector<std::string_view> names;
  for (const auto& known : known_call_formats()) names.push_back(known.format.name);
  return names;
}

std::string_view name(const CallFormat& format) { return format.name; }

std::vector<std::string_view> markers(const OutputFormat& format) {
  std::vector<std::string_view> result;
  if (format.reasoning != nullptr) result = {format.reasoning->open, format.reasoning->close};
  if (format.calls == nullptr) return result;
  for (const auto& opening : format.calls->openings) result.push_back(opening.marker);
  for (const auto* more : {&format.calls->closings, &format.calls->other_markers}) {
    result.insert(result.end(), more->begin(), more->end());
  }
  return result;
}

std::string_view reasoning_close(const OutputFormat& format) { return format.reasoning->close; }

bool reasons(const OutputFormat& format) {
  return format.reasoning != nullptr ||
         (format.calls != nullptr && format.calls->make_parser != nullptr);
}

bool opens_reasoning(const OutputFormat& format, std::string_view prompt_end) {
  if (format.reasoning == nullptr) return false;
  const size_t last = prompt_end.find_last_not_of(" \t\r\n");
  return prompt_end.substr(0, last + 1).ends_with(format.reasoning->open);
}

CallFrame call_frame(const CallFormat& format, const std::optional<std::string>& tool) {
  const CallFormat::Forced& forced = format.forced;
  CallFrame frame{std::string(forced.before), forced.rest, forced.arguments_key};
  const bool has_name_outside = forced.rest == CallRest::arguments || forced.rest == CallRest::free;
  if (!has_name_outside) return frame;
  if (tool) {
    frame.beginning.append(*tool).append(forced.after);
  } else {
    frame.rest = CallRest::free;
  }
  return frame;
}

std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format,
                                                 OutputOptions options) {
  if (format.calls != nullptr && format.calls->make_parser != nullptr) {
    return format.calls->make_parser(options);
  }
  std::unique_ptr<OutputParser> parser;
  if (format.calls != nullptr && !options.tools.empty()) {
    parser = std::make_unique<CallParser>(*format.calls, std::move(options.tools));
  } else {
    parser = std::make_unique<PlainParser>();
  }
  if (format.reasoning == nullptr) return parser;
  return std::make_unique<ReasoningParser>(*format.reasoning, options.begins_in_reasoning,
                                           std::move(parser));
}

}  // namespace lotse
