#include "engine/grammar_constraint.h"

#include <algorithm>
#include <limits>

namespace lotse {

GrammarConstraint::GrammarConstraint(std::shared_ptr<GrammarMasks> masks)
    : masks_(std::move(masks)), bits_(masks_->tokens().mask_words()) {}

GrammarMatcher& GrammarConstraint::matcher() const {
  return matcher_ ? *matcher_ : matcher_.emplace(masks_);
}

void GrammarConstraint::mask(std::span<float> logits) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  matcher().fill_mask(bits_);
  for (size_t word = 0; word < bits_.size(); ++word) {
    const size_t begin = std::min(word * 32, logits.size());
    const std::span<float> part =
        logits.subspan(begin, std::min<size_t>(32, logits.size() - begin));
    const uint32_t bits = bits_[word];
    if (bits == 0) {
      std::ranges::fill(part, kNever);
    } else if (bits != ~uint32_t{0}) {
      for (size_t i = 0; i < part.size(); ++i) part[i] = (bits >> i & 1) != 0 ? part[i] : kNever;
    }
  }
  const size_t known = std::min(bits_.size() * 32, logits.size());
  std::ranges::fill(logits.subspan(known), kNever);
}

// The engine chooses among what mask() left, so that a token that is refused here was forced from
// outside; the text then stays where it was.
void GrammarConstraint::accept(int32_t token) { matcher().accept(token); }

}  // namespace lotse
