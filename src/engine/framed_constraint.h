// A constrained text that something else stands before.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

struct AnswerFrame {
  // What ends the reasoning that the answer begins in; empty when it does not. Until then any text
  // is allowed, but the answer does not end.
  std::string reasoning_close;
  std::vector<int32_t> beginning;  // tokens that come then, and no others
};

class FramedConstraint final : public TokenConstraint {
 public:
  // `rest` is for what follows the frame; null: anything may. The tokenizer must outlive this.
  FramedConstraint(const Tokenizer& tokenizer, AnswerFrame frame,
                   std::unique_ptr<TokenConstraint> rest);

  void mask(std::span<float> logits) override;
  void accept(int32_t token) override;
  bool can_end() const override;
  bool is_finished() const override;

 private:
  bool is_framed() const { return !is_reasoning_ && given_ == frame_.beginning.size(); }
  void forbid_special(std::span<float> logits);

  const Tokenizer& tokenizer_;
  AnswerFrame frame_;
  std::unique_ptr<TokenConstraint> rest_;
  bool is_reasoning_;
  StreamDecoder decoder_;
  std::string tail_;              // of the reasoning so far
  size_t given_ = 0;              // tokens of the beginning
  std::vector<int32_t> special_;  // that reasoning must not have; found when first needed
};

}  // namespace lotse
