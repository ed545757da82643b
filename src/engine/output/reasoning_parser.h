// Reasoning before an answer.
#pragma once

#include "engine/output/output_parser.h"

namespace lotse {

struct ReasoningTags {
  std::string_view open;
  std::string_view close;
};

// Reasoning stands at the beginning of the answer between tags; what follows goes on to another
// parser.
class ReasoningParser final : public OutputParser {
 public:
  ReasoningParser(const ReasoningTags& tags, bool begins_in_reasoning,
                  std::unique_ptr<OutputParser> answer);
  std::vector<OutputEvent> push(std::string_view text) override;
  std::vector<OutputEvent> finish() override;
  bool is_reasoning() const override { return state_ == State::reasoning; }

 private:
  enum class State : uint8_t { before, reasoning, after, answer };

  void take_before(char c);
  void take_reasoning(char c, std::vector<OutputEvent>& events);
  static void append(std::vector<OutputEvent>& events, std::vector<OutputEvent> more);

  const ReasoningTags& tags_;
  std::unique_ptr<OutputParser> answer_;
  State state_;
  std::string held_;   // what may be a tag
  std::string space_;  // before it, of the beginning or of the reasoning's end so far
  bool has_text_ = false;
};

}  // namespace lotse
