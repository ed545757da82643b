// Guesses of the tokens to come, which one step of the model can check all at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/scheduler.h"
#include "engine/token_chooser.h"

namespace lotse {

// How drafted tokens are accepted above temperature 0. At 0 both rules are the same.
enum class DraftRule : uint8_t {
  seeded,     // when they are what the sequence's own random number chooses: answers do not change
  rejection,  // as often as the distribution of answers allows: more come true, but an answer
              // depends on what was drafted besides its seed
};

struct Draft {
  std::vector<int32_t> tokens;
  std::vector<Distribution> from;  // what each token was drawn from
};

// What is asked for one sequence.
struct DraftWish {
  Sequence* sequence;           // one token of it is not computed yet; only read
  const TokenChooser* chooser;  // its state after the sequence's last token
  int64_t most;                 // tokens, at least 1
  Draft draft;                  // the answer; empty where there is no guess
};

// Called on the engine's thread only.
class Drafter {
 public:
  virtual ~Drafter() = default;
  virtual const char* name() const = 0;  // "model": in metrics
  // Answers all wishes. An error is the device's.
  virtual Result<void> propose(std::span<DraftWish> wishes) = 0;
  // A sequence has ended.
  virtual void forget(uint64_t /*id*/) {}
  // A device failed: nothing in a cache can be trusted.
  virtual void reset() {}
};

// Guesses that a sequence repeats itself.
std::unique_ptr<Drafter> make_lookup_drafter();

// How many tokens are worth drafting for a sequence, by what came true of the last ones: twice as
// many when all did, one more than came true when not; where even a single one fails, fewer and
// fewer attempts are made.
class DraftLength {
 public:
  explicit DraftLength(int64_t most) : most_(most), length_(most) {}
  // For the next step; 0: none this time.
  int64_t next();
  void note(int64_t drafted, int64_t accepted);

 private:
  int64_t most_;
  int64_t length_;
  int64_t pause_ = 0;    // steps between attempts
  int64_t waiting_ = 0;  // steps until the next
};

}  // namespace lotse
