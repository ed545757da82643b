// Which tokens of which sequences make the next step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_cache.h"

namespace lotse {

struct SchedulerLimits {
  int64_t max_sequences = 16;  // that run at once
  int64_t step_tokens = 512;   // in one step
  int64_t step_outputs = 64;   // rows of logits in one step
  int64_t block_tokens = 64;
};

// One sequence under the scheduler's care.
struct Sequence {
  uint64_t id = 0;  // by arrival
  int32_t priority = 0;
  int32_t adapter = 0;
  bool is_whole = false;        // must be computed in one step; never beside a cached prefix
  bool grows = true;            // tokens will follow its prompt
  bool wants_all_rows = false;  // the logits of every token of the prompt
  int64_t prompt_length = 0;
  std::vector<int32_t> tokens;  // the prompt and what was generated
  // Guesses of the tokens after the last: computed together with it where there is room.
  std::vector<int32_t> draft;
  PrefixHash salt{};

  // The scheduler's own.
  int64_t computed = 0;  // tokens in the cache
  int64_t cached = 0;    // of the prompt, found when it was first admitted
  bool was_admitted = false;
  std::vector<int32_t> blocks;
  std::vector<PrefixHash> prefixes;  // of each full block of `tokens`, as far as needed
};

// A sequence's share of a step: its next `tokens` tokens, and then as many of its draft as
// `drafted` says. The logits of the last token and of the drafted ones are wanted when the step
// reaches the end of the sequence.
struct ScheduledTokens {
  Sequence* sequence;
  int64_t tokens;
  int64_t drafted;
  bool reaches_end;
};

// Continuous batching (Yu et al. 2022, "Orca") with chunked prefill (Agrawal et al. 2023,
// "Sarathi") over a paged cache (Kwon et al. 2023). Sequences that generate come first, one token
// each, then those whose prompts are being computed, then waiting ones; each by priority, then
// arrival. When blocks run out, the last of the running gives all of its own back and will be
// computed again. Not thread-safe; knows no device.
class Scheduler {
 public:
  Scheduler(const SchedulerLimits& limits, BlockCache& blocks) : limits_(limits), blocks_(blocks) {}

  void add(std::unique_ptr<Sequence> sequence);
  // Takes a sequence out, whatever it was doing; null when there is none with this id.
  std::unique_ptr<Sequence> remove(uint64_t id);

  // The next step; empty when nothing can run. Every block that it writes to is held.
  std::vector<ScheduledTokens> plan();
  // The planned step was executed: its tokens are in the cache, and full blocks may be shared. What
  // was drafted is there too, but counts only when it is accepted.
  void commit(const std::vector<ScheduledTokens>& step);
  // The next drafted token has come true and stands in sequence.tokens.
  void accept_drafted(Sequence& sequence);

  // Running sequences whose prompt is computed and that have one token to compute: whose draft may
  // be set.
  std::vector<Sequence*> generating();

  // Every sequence gives its blocks back and starts anew: the cache was lost.
  void reset();

  // In no particular order.
  std::vector<const Sequence*> all() const;
  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t waiting_tokens() const;
  int64_t preemptions() const { return preemptions_; }
  int64_t prefix_queries() const { return prefix_queries_; }
  int64_t prefix_hits() const { return prefix_hits_; }

 private:
  using Sequences = std::vector<std::unique_ptr<Sequence>>;  // sorted: first come, first served

  struct Room {
    int64_t tokens;
    int64_t outputs;
  };

  static bool comes_before(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b);
  static void insert(Sequences& list, std::unique_ptr<Sequence> sequence);

  int64_t share_of(const Sequence& sequence, const Room& room) const;
  int64_t drafted_of(const Sequence& sequence, const Room& room) const;
  void advance(Sequence& sequence, int64_t tokens);
  void take(Sequence& sequence, Room& room, std::vector<ScheduledTokens>& step);
  void plan_running(bool decoding, Room& room, std::vector<ScheduledTokens>& step);
  void admit(Room& room, std::vector<ScheduledTokens>& step);
  bool reserve(Sequence& sequence, int64_t length);
  static bool fits(const Sequence& sequence, const Room& room);
  bool has_room_for(const Sequence& sequence) const;
  void find_prefix(Sequence& sequence);
  void preempt_last(std::vector<ScheduledTokens>& step);
  void release(Sequence& sequence);
  const PrefixHash& prefix(Sequence& sequence, int64_t block) const;

  SchedulerLimits limits_;
  BlockCache& blocks_;
  Sequences running_;
  Sequences waiting_;
  int64_t preemptions_ = 0;
  int64_t prefix_queries_ = 0;
  int64_t prefix_hits_ = 0;
};

}  // namespace lotse
