#include "engine/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/checked.h"
#include "base/result.h"

namespace lotse {
namespace {

int64_t length(const Sequence& sequence) { return std::ssize(sequence.tokens); }

// Of a prompt, the last token too is part of the prompt.
bool is_decoding(const Sequence& sequence) {
  return sequence.computed >= sequence.prompt_length && length(sequence) - sequence.computed == 1;
}

template <class List>
std::unique_ptr<Sequence> take_out(List& list, uint64_t id) {
  const auto found =
      std::ranges::find_if(list, [id](const auto& sequence) { return sequence->id == id; });
  if (found == list.end()) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(*found);
  list.erase(found);
  return sequence;
}

}  // namespace

bool Scheduler::comes_before(const std::unique_ptr<Sequence>& a,
                             const std::unique_ptr<Sequence>& b) {
  return std::tie(a->priority, a->id) < std::tie(b->priority, b->id);
}

void Scheduler::insert(Sequences& list, std::unique_ptr<Sequence> sequence) {
  const auto place = std::upper_bound(list.begin(), list.end(), sequence, comes_before);
  list.insert(place, std::move(sequence));
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  LOTSE_CHECK(!sequence->tokens.empty());
  insert(waiting_, std::move(sequence));
}

std::unique_ptr<Sequence> Scheduler::remove(uint64_t id) {
  std::unique_ptr<Sequence> sequence = take_out(running_, id);
  if (sequence == nullptr) return take_out(waiting_, id);
  release(*sequence);
  return sequence;
}

std::vector<ScheduledTokens> Scheduler::plan() {
  Room room{limits_.step_tokens, limits_.step_outputs};
  std::vector<ScheduledTokens> step;
  plan_running(true, room, step);
  plan_running(false, room, step);
  admit(room, step);
  return step;
}

// How many of its tokens a sequence may compute with what room there is.
int64_t Scheduler::share_of(const Sequence& sequence, const Room& room) const {
  const int64_t left = length(sequence) - sequence.computed;
  const bool is_prompt = sequence.computed < sequence.prompt_length;
  const bool needs_rows = sequence.wants_all_rows && is_prompt;
  return std::min({left, room.tokens, needs_rows ? room.outputs : room.tokens});
}

int64_t Scheduler::drafted_of(const Sequence& sequence, const Room& room) const {
  if (!is_decoding(sequence)) return 0;
  return std::min({std::ssize(sequence.draft), room.tokens - 1, room.outputs - 1});
}

void Scheduler::take(Sequence& sequence, Room& room, std::vector<ScheduledTokens>& step) {
  const int64_t tokens = share_of(sequence, room);
  const int64_t drafted = drafted_of(sequence, room);
  const bool needs_rows = sequence.wants_all_rows && sequence.computed < sequence.prompt_length;
  room.tokens -= tokens + drafted;
  room.outputs -= needs_rows ? tokens : 1 + drafted;
  step.push_back({&sequence, tokens, drafted, sequence.computed + tokens == length(sequence)});
}

void Scheduler::plan_running(bool decoding, Room& room, std::vector<ScheduledTokens>& step) {
  for (size_t i = 0; i < running_.size() && room.tokens > 0 && room.outputs > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (is_decoding(sequence) != decoding) continue;
    const int64_t end = sequence.computed + share_of(sequence, room);
    // A guess is not worth another sequence's place.
    if (!reserve(sequence, end + drafted_of(sequence, room))) sequence.draft.clear();
    // Sequences from i on may have to go, this one last.
    while (i < running_.size() && !reserve(sequence, end)) preempt_last(step);
    if (i < running_.size()) take(sequence, room, step);
  }
}

void Scheduler::admit(Room& room, std::vector<ScheduledTokens>& step) {
  while (!waiting_.empty() && running() < limits_.max_sequences && room.tokens > 0 &&
         room.outputs > 0) {
    Sequence& sequence = *waiting_.front();
    if (sequence.is_whole && !fits(sequence, room)) return;
    find_prefix(sequence);
    if (!has_room_for(sequence)) {
      release(sequence);
      return;
    }
    LOTSE_CHECK(reserve(sequence, sequence.computed + share_of(sequence, room)));
    if (!std::exchange(sequence.was_admitted, true)) {
      sequence.cached = sequence.computed;
      prefix_queries_ += sequence.prompt_length;
      prefix_hits_ += sequence.cached;
    }
    take(sequence, room, step);
    insert(running_, std::move(waiting_.front()));
    waiting_.erase(waiting_.begin());
  }
}

// Whether a sequence has room in the step as a whole. In an empty one it has: its length is within
// the limits of a step.
bool Scheduler::fits(const Sequence& sequence, const Room& room) {
  return length(sequence) <= room.tokens &&
         (!sequence.wants_all_rows || length(sequence) <= room.outputs);
}

// Whether all that a sequence has to compute now, and its next token if there is one, fit: else it
// would be admitted only to be preempted.
bool Scheduler::has_room_for(const Sequence& sequence) const {
  const int64_t needed =
      ceil_div(length(sequence) + (sequence.grows ? 1 : 0), limits_.block_tokens);
  return needed - std::ssize(sequence.blocks) <= blocks_.available();
}

bool Scheduler::reserve(Sequence& sequence, int64_t tokens) {
  while (std::ssize(sequence.blocks) * limits_.block_tokens < tokens) {
    const auto block = blocks_.allocate();
    if (!block) return false;
    sequence.blocks.push_back(*block);
  }
  return true;
}

const PrefixHash& Scheduler::prefix(Sequence& sequence, int64_t block) const {
  while (std::ssize(sequence.prefixes) <= block) {
    const int64_t next = std::ssize(sequence.prefixes);
    const auto tokens = std::span(sequence.tokens)
                            .subspan(static_cast<size_t>(next * limits_.block_tokens),
                                     static_cast<size_t>(limits_.block_tokens));
    sequence.prefixes.push_back(
        hash_block(next == 0 ? sequence.salt : sequence.prefixes.back(), tokens));
  }
  return sequence.prefixes[static_cast<size_t>(block)];
}

// Takes what blocks there are of the sequence's beginning; at least its last token is left to
// compute, and all of a prompt whose every row is wanted.
void Scheduler::find_prefix(Sequence& sequence) {
  if (sequence.wants_all_rows && length(sequence) == sequence.prompt_length) return;
  const int64_t most = (length(sequence) - 1) / limits_.block_tokens;
  for (int64_t block = 0; block < most; ++block) {
    const auto found = blocks_.find(prefix(sequence, block));
    if (!found) break;
    sequence.blocks.push_back(*found);
  }
  sequence.computed = std::ssize(sequence.blocks) * limits_.block_tokens;
}

void Scheduler::preempt_last(std::vector<ScheduledTokens>& step) {
  std::unique_ptr<Sequence> sequence = std::move(running_.back());
  running_.pop_back();
  std::erase_if(step, [&](const auto& part) { return part.sequence == sequence.get(); });
  release(*sequence);
  insert(waiting_, std::move(sequence));
  ++preemptions_;
}

void Scheduler::release(Sequence& sequence) {
  // Backwards, so that the end of a prefix is forgotten before its beginning.
  while (!sequence.blocks.empty()) {
    blocks_.release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  sequence.computed = 0;
  sequence.draft.clear();
}

void Scheduler::commit(const std::vector<ScheduledTokens>& step) {
  for (const ScheduledTokens& part : step) advance(*part.sequence, part.tokens);
}

void Scheduler::accept_drafted(Sequence& sequence) { advance(sequence, 1); }

void Scheduler::advance(Sequence& sequence, int64_t tokens) {
  const int64_t before = sequence.computed / limits_.block_tokens;
  sequence.computed += tokens;
  for (int64_t i = before; i < sequence.computed / limits_.block_tokens; ++i) {
    blocks_.publish(sequence.blocks[static_cast<size_t>(i)], prefix(sequence, i));
  }
}

std::vector<Sequence*> Scheduler::generating() {
  std::vector<Sequence*> sequences;
  for (const auto& sequence : running_) {
    if (is_decoding(*sequence)) sequences.push_back(sequence.get());
  }
  return sequences;
}

void Scheduler::reset() {
  while (!running_.empty()) {
    release(*running_.back());
    insert(waiting_, std::move(running_.back()));
    running_.pop_back();
  }
  blocks_.forget();
}

std::vector<const Sequence*> Scheduler::all() const {
  std::vector<const Sequence*> sequences;
  for (const auto& sequence : running_) sequences.push_back(sequence.get());
  for (const auto& sequence : waiting_) sequences.push_back(sequence.get());
  return sequences;
}

int64_t Scheduler::waiting_tokens() const {
  int64_t tokens = 0;
  for (const auto& sequence : waiting_) tokens += length(*sequence);
  return tokens;
}

}  // namespace lotse
