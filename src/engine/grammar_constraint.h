// Structured output as the engine asks for it.
#pragma once

#include <memory>
#include <vector>

#include "engine/grammar/matcher.h"
#include "engine/request.h"

namespace lotse {

// Keeps one generation within a grammar. `end_tokens` may come where the text is complete; tokens
// beyond the vocabulary never may.
class GrammarConstraint : public TokenConstraint {
 public:
  GrammarConstraint(std::shared_ptr<GrammarMasks> masks, std::vector<int32_t> end_tokens);

  void mask(std::span<float> logits) override;
  void accept(int32_t token) override;
  bool is_finished() const override { return matcher_.is_finished(); }
  bool can_end() const { return matcher_.can_end(); }

 private:
  GrammarMatcher matcher_;
  std::vector<int32_t> end_tokens_;
  std::vector<uint32_t> bits_;
};

}  // namespace lotse
