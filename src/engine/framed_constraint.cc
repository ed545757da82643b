#include "engine/framed_constraint.h"

#include <algorithm>
#include <limits>

namespace lotse {
namespace {

constexpr float kRefused = -std::numeric_limits<float>::infinity();

}  // namespace

FramedConstraint::FramedConstraint(const Tokenizer& tokenizer, AnswerFrame frame,
                                   std::unique_ptr<TokenConstraint> rest)
    : tokenizer_(tokenizer),
      frame_(std::move(frame)),
      rest_(std::move(rest)),
      is_reasoning_(!frame_.reasoning_close.empty()),
      decoder_(tokenizer, false) {}

void FramedConstraint::mask(std::span<float> logits) {
  if (is_reasoning_) return forbid_special(logits);
  if (given_ < frame_.beginning.size()) {
    const auto wanted = static_cast<size_t>(frame_.beginning[given_]);
    const float logit = wanted < logits.size() ? logits[wanted] : kRefused;
    std::ranges::fill(logits, kRefused);
    if (wanted < logits.size()) logits[wanted] = logit;
    return;
  }
  if (rest_) rest_->mask(logits);
}

// Special tokens end turns and answers; the one that ends the reasoning may be among them.
void FramedConstraint::forbid_special(std::span<float> logits) {
  if (special_.empty()) {
    for (int64_t id = 0; id < tokenizer_.vocab_size(); ++id) {
      const auto token = static_cast<int32_t>(id);
      if (tokenizer_.is_special(token) && tokenizer_.id_to_token(token) != frame_.reasoning_close) {
        special_.push_back(token);
      }
    }
  }
  for (const int32_t token : special_) {
    if (static_cast<size_t>(token) < logits.size()) logits[static_cast<size_t>(token)] = kRefused;
  }
}

void FramedConstraint::accept(int32_t token) {
  if (is_reasoning_) {
    tail_ += decoder_.push(token);
    is_reasoning_ = tail_.find(frame_.reasoning_close) == std::string::npos;
    const size_t kept = std::min(tail_.size(), frame_.reasoning_close.size());
    tail_.erase(0, tail_.size() - kept);
  } else if (given_ < frame_.beginning.size()) {
    ++given_;
  } else if (rest_) {
    rest_->accept(token);
  }
}

bool FramedConstraint::can_end() const { return is_framed() && (!rest_ || rest_->can_end()); }

bool FramedConstraint::is_finished() const { return is_framed() && rest_ && rest_->is_finished(); }

}  // namespace lotse
