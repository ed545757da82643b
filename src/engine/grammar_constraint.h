// Structured output as the engine asks for it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/grammar/matcher.h"
#include "engine/request.h"

namespace lotse {

// Keeps one generation within a grammar. May be made on any thread: what the masks remember is
// first touched by a call.
class GrammarConstraint : public TokenConstraint {
 public:
  explicit GrammarConstraint(std::shared_ptr<GrammarMasks> masks);

  void mask(std::span<float> logits) override;
  void accept(int32_t token) override;
  bool can_end() const override { return matcher().can_end(); }
  bool is_finished() const override { return matcher().is_finished(); }

 private:
  GrammarMatcher& matcher() const;

  std::shared_ptr<GrammarMasks> masks_;
  mutable std::optional<GrammarMatcher> matcher_;  // made when it is first asked for
  std::vector<uint32_t> bits_;
};

}  // namespace lotse
