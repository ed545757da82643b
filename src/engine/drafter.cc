#include "engine/drafter.h"

#include <algorithm>

#include "engine/prompt_lookup.h"

namespace lotse {
namespace {

class LookupDrafter final : public Drafter {
 public:
  const char* name() const override { return "lookup"; }
  Result<void> propose(std::span<DraftWish> wishes) override {
    for (DraftWish& wish : wishes) {
      wish.draft.tokens = look_up_draft(wish.sequence->tokens, wish.most);
      wish.draft.from.resize(wish.draft.tokens.size());
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Drafter> make_lookup_drafter() { return std::make_unique<LookupDrafter>(); }

int64_t DraftLength::next() {
  if (waiting_ == 0) return length_;
  --waiting_;
  return 0;
}

void DraftLength::note(int64_t drafted, int64_t accepted) {
  constexpr int64_t kLongestPause = 16;
  if (drafted == 0) return;
  if (accepted > 0) {
    pause_ = 0;
    length_ = std::min(accepted == drafted ? 2 * length_ : accepted + 1, most_);
    return;
  }
  if (length_ == 1) pause_ = std::min(std::max<int64_t>(2 * pause_, 1), kLongestPause);
  length_ = 1;
  waiting_ = pause_;
}

}  // namespace lotse
