// One model that serves many requests at once: continuous batching over a paged, shared cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/request.h"

namespace lotse {

struct ServingOptions {
  int64_t max_sequences = 16;           // that run at once
  int64_t max_queued = 256;             // requests that wait
  int64_t max_queued_tokens = 1 << 20;  // of their prompts together
  int64_t step_tokens = 512;            // prompts are cut so that a step has no more
  bool prefix_cache = true;
  int64_t draft_tokens = 0;  // that are guessed for one sequence at a time; 0: none
  DraftRule draft_rule = DraftRule::seeded;
};

using RequestId = uint64_t;

// Counters grow for ever, the others are of the moment.
struct ServingStats {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t waiting_tokens = 0;
  int64_t total_blocks = 0;
  int64_t free_blocks = 0;    // held by no request: unused, or cached
  int64_t cached_blocks = 0;  // of the free ones, those with a prefix that may be found
  int64_t steps = 0;
  int64_t prompt_tokens = 0;  // computed or found in the cache
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;   // of those, which came true
  int64_t prefix_queries = 0;    // tokens that were looked for
  int64_t prefix_hits = 0;       // tokens that were found
  double step_seconds = 0;       // of all steps, wall time
  double executing_seconds = 0;  // the part of it that the device computed
  double drafting_seconds = 0;   // the part of it that drafts took
  std::string draft_source;      // of the drafted tokens: the drafter's name
};

// Runs an engine on a thread of its own. Every member may be called from any thread.
class ServingEngine {
 public:
  // Takes an engine that was opened with room for options.max_sequences, and what is to draft for
  // it; without a drafter, options.draft_tokens are looked up in the sequence's own past.
  static std::unique_ptr<ServingEngine> start(std::unique_ptr<Engine> engine,
                                              const ServingOptions& options,
                                              std::unique_ptr<Drafter> drafter = nullptr);
  virtual ~ServingEngine() = default;

  // Queues a request. Errors, at once: invalid_input for a prompt that is empty, does not fit in
  // the context (both numbers are named) or has a token outside of the vocabulary; limit when the
  // queue is full; cancelled after drain(). Without an error the sink's on_end() will be called,
  // perhaps before this returns.
  virtual Result<RequestId> submit(GenerationRequest request,
                                   std::shared_ptr<RequestSink> sink) = 0;
  // Ends a request within two steps (FinishReason::cancelled). Unknown and ended ids are ignored.
  virtual void cancel(RequestId id) = 0;

  virtual ServingStats stats() const = 0;

  // Takes no more requests and waits until all have ended. May be called more than once.
  virtual void drain() = 0;

  // The engine that is served: its tokenizer, chat template, configuration and limits, which are
  // constant. Everything else of it is the serving thread's.
  virtual const Engine& engine() const = 0;
};

}  // namespace lotse
