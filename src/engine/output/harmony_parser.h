// The format of gpt-oss: messages with a header each, in channels.
//   <|channel|>analysis<|message|>REASONING<|end|>
//   <|start|>assistant<|channel|>commentary to=functions.NAME
//   <|constrain|>json<|message|>{…}<|call|>
//   <|start|>assistant<|channel|>final<|message|>ANSWER<|return|>
#pragma once

#include "engine/output/call_parser.h"

namespace lotse {

// Without tools, and for recipients that are no functions, calls are content. The first header
// begins behind the prompt's "<|start|>assistant".
class HarmonyParser final : public OutputParser {
 public:
  explicit HarmonyParser(const OutputOptions& options) : has_tools_(!options.tools.empty()) {}
  std::vector<OutputEvent> push(std::string_view text) override;
  std::vector<OutputEvent> finish() override;
  bool is_reasoning() const override { return body_ == Body::reasoning; }

 private:
  enum class Body : uint8_t { header, content, reasoning, call };

  void take(char c);
  void match_markers();
  bool match_marker();
  void take_marker();
  void begin_body();
  void leave_header();
  void end_body();
  void take_text(char c);

  bool has_tools_;
  CallWriter calls_;
  Body body_ = Body::content;
  bool at_begin_ = true;  // of the answer
  std::string held_;      // what may be a marker
  std::string header_;    // so far, markers included
  JsonCursor arguments_;
};

// The parser of a format that is a whole of reasoning, content and calls.
std::unique_ptr<OutputParser> harmony_parser(const OutputOptions& options);

}  // namespace lotse
