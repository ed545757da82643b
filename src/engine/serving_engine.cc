#include "engine/serving_engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "engine/batch_builder.h"
#include "engine/drafter.h"
#include "engine/embedding.h"
#include "engine/logprobs.h"
#include "engine/scheduler.h"

namespace lotse {
namespace {

using Clock = std::chrono::steady_clock;

// Rows that a step may have with drafts: about what the weights' way from memory pays for.
constexpr int64_t kDraftRows = 16;

size_t at(int64_t index) { return static_cast<size_t>(index); }

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

// A request with everything that its generation needs but its place in the schedule.
struct Active {
  Active(GenerationRequest asked, std::shared_ptr<RequestSink> listener,
         std::span<const int64_t> end_tokens, int64_t draft_tokens)
      : request(std::move(asked)),
        sink(std::move(listener)),
        chooser(request, end_tokens),
        draft_length(draft_tokens) {
    outcome.prompt_tokens = std::ssize(request.prompt);
  }

  GenerationRequest request;
  std::shared_ptr<RequestSink> sink;
  TokenChooser chooser;
  DraftLength draft_length;
  Draft draft;  // its tokens are the sequence's
  Clock::time_point submitted = Clock::now();
  RequestOutcome outcome;
  std::optional<EmbeddingPool> pool;        // where an embedding was asked for
  std::vector<GeneratedToken> prompt_rows;  // of tokens 1, 2, …, as far as they were computed
};

// Null where nothing is to be drafted.
std::unique_ptr<Drafter> choose_drafter(std::unique_ptr<Drafter> given,
                                        const ServingOptions& options) {
  if (options.draft_tokens == 0) return nullptr;
  return given ? std::move(given) : make_lookup_drafter();
}

class ThreadedServingEngine final : public ServingEngine {
 public:
  ThreadedServingEngine(std::unique_ptr<Engine> engine, const ServingOptions& options,
                        std::unique_ptr<Drafter> drafter)
      : engine_(std::move(engine)),
        options_(options),
        is_whole_(needs_whole_sequences(engine_->model().program)),
        drafter_(choose_drafter(std::move(drafter), options)),
        blocks_(engine_->limits().cache_blocks, options.prefix_cache && !is_whole_),
        scheduler_({std::min(options.max_sequences, engine_->limits().max_sequences),
                    is_whole_ ? engine_->limits().max_tokens
                              : std::min(options.step_tokens, engine_->limits().max_tokens),
                    engine_->limits().max_outputs, engine_->limits().block_tokens},
                   blocks_),
        thread_([this] { serve(); }) {}

  ~ThreadedServingEngine() override { drain(); }

  Result<RequestId> submit(GenerationRequest request, std::shared_ptr<RequestSink> sink) override {
    LOTSE_TRY(check(request));
    const std::scoped_lock lock(mutex_);
    if (is_draining_) return fail(ErrorCode::cancelled, "the server is shutting down");
    LOTSE_TRY(check_queue(std::ssize(request.prompt)));
    const RequestId id = next_id_++;
    arrived_tokens_ += std::ssize(request.prompt);
    arrived_.emplace_back(
        id, std::make_unique<Active>(std::move(request), std::move(sink), engine_->end_tokens(),
                                     options_.draft_tokens));
    wake_.notify_one();
    return id;
  }

  void cancel(RequestId id) override {
    const std::scoped_lock lock(mutex_);
    cancelled_.push_back(id);
    wake_.notify_one();
  }

  ServingStats stats() const override {
    const std::scoped_lock lock(mutex_);
    ServingStats stats = stats_;
    stats.waiting += std::ssize(arrived_);
    stats.waiting_tokens += arrived_tokens_;
    return stats;
  }

  void drain() override {
    {
      const std::scoped_lock lock(mutex_);
      is_draining_ = true;
      wake_.notify_one();
    }
    const std::scoped_lock lock(joining_);
    if (thread_.joinable()) thread_.join();
  }

  const Engine& engine() const override { return *engine_; }

 private:
  // ---- any thread ----

  Result<void> check(const GenerationRequest& request) const {
    const int64_t length = std::ssize(request.prompt);
    const int64_t context = engine_->limits().max_context;
    if (length == 0) return fail(ErrorCode::invalid_input, "the prompt has no tokens");
    if (request.pooling) return check_embedding(request);
    if (!engine_->generates()) return std::unexpected(no_logits());
    if (length >= context) {
      return fail(ErrorCode::invalid_input,
                  "the prompt has {} tokens, and the context of {} must hold it and an answer",
                  length, context);
    }
    LOTSE_TRY(expect_known(request.prompt, "prompt"));
    LOTSE_TRY(expect_known(request.allowed_tokens, "allowed tokens"));
    std::vector<int32_t> biased;
    for (const auto& [token, bias] : request.logit_bias) biased.push_back(token);
    return expect_known(biased, "logit bias");
  }

  Result<void> check_embedding(const GenerationRequest& request) const {
    const int64_t length = std::ssize(request.prompt);
    if (length > engine_->embedding_tokens()) {
      return fail(ErrorCode::invalid_input,
                  "the text has {} tokens, and embeddings are of at most {}", length,
                  engine_->embedding_tokens());
    }
    return expect_known(request.prompt, "text");
  }

  Result<void> expect_known(std::span<const int32_t> tokens, const char* what) const {
    const int64_t vocabulary = engine_->config().vocabulary;
    const auto unknown = std::ranges::find_if_not(
        tokens, [&](int32_t token) { return token >= 0 && token < vocabulary; });
    if (unknown == tokens.end()) return {};
    return fail(ErrorCode::invalid_input, "token {} of the {} is outside the vocabulary of {}",
                *unknown, what, vocabulary);
  }

  // Under mutex_.
  Result<void> check_queue(int64_t tokens) const {
    const int64_t waiting = stats_.waiting + std::ssize(arrived_);
    const int64_t waiting_tokens = stats_.waiting_tokens + arrived_tokens_;
    if (waiting >= options_.max_queued) {
      return fail(ErrorCode::limit, "the queue is full: {} requests wait", waiting);
    }
    if (waiting > 0 && waiting_tokens + tokens > options_.max_queued_tokens) {
      return fail(ErrorCode::limit, "the queue is full: requests with {} tokens wait",
                  waiting_tokens);
    }
    return {};
  }

  // ---- the serving thread ----

  void serve() {
    while (wait_for_work()) {
      const auto start = Clock::now();
      expire(start);
      const auto step = next_step();
      if (!step) end_all(step.error());
      if (step && !step->empty()) run(*step);
      publish_stats(start, step && !step->empty() ? 1 : 0);
      tell_ends();
    }
  }

  // Takes in what other threads brought; false when all is done and no more may come.
  bool wait_for_work() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] {
      return !arrived_.empty() || !cancelled_.empty() || !active_.empty() || is_draining_;
    });
    auto arrived = std::exchange(arrived_, {});
    arrived_tokens_ = 0;
    const std::vector<RequestId> cancelled = std::exchange(cancelled_, {});
    const bool goes_on = !is_draining_ || !arrived.empty() || !active_.empty();
    stats_.waiting += std::ssize(arrived);
    lock.unlock();
    for (auto& [id, active] : arrived) admit(id, std::move(active));
    for (const RequestId id : cancelled) {
      if (active_.contains(id)) end(id, FinishReason::cancelled);
    }
    return goes_on;
  }

  void admit(RequestId id, std::unique_ptr<Active> active) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = id;
    sequence->priority = active->request.priority;
    sequence->is_whole = is_whole_;
    sequence->grows = !active->request.pooling;
    sequence->wants_all_rows = wants_all_rows(active->request);
    sequence->prompt_length = std::ssize(active->request.prompt);
    sequence->tokens = active->request.prompt;
    sequence->adapter = active->request.adapter;
    // What an adapter made of a prefix is of no use to others.
    sequence->salt = hash_salt(fmt::format("{}/{}", sequence->adapter, active->request.cache_salt));
    if (active->request.pooling) {
      active->pool.emplace(*active->request.pooling, engine_->config().hidden);
    }
    active_.emplace(id, std::move(active));
    scheduler_.add(std::move(sequence));
  }

  static bool wants_all_rows(const GenerationRequest& request) {
    return request.pooling ? needs_all_tokens(*request.pooling)
                           : request.prompt_logprobs.has_value();
  }

  void expire(Clock::time_point now) {
    std::vector<RequestId> expired;
    for (const auto& [id, active] : active_) {
      if (active->request.deadline && *active->request.deadline <= now) expired.push_back(id);
    }
    for (const RequestId id : expired) end(id, FinishReason::deadline);
  }

  Result<std::vector<ScheduledTokens>> next_step() {
    if (drafter_ != nullptr) LOTSE_TRY(make_drafts());
    return scheduler_.plan();
  }

  Result<void> make_drafts() {
    const std::vector<Sequence*> sequences = scheduler_.generating();
    std::vector<DraftWish> wishes;
    for (Sequence* sequence : sequences) {
      sequence->draft.clear();
      Active& active = *active_.at(sequence->id);
      const int64_t most =
          std::min(kDraftRows / std::ssize(sequences) - 1, tokens_left(active) - 1);
      if (most < 1) continue;
      const int64_t worthwhile = std::min(most, active.draft_length.next());
      if (worthwhile < 1) continue;
      wishes.push_back({sequence, &active.chooser, worthwhile, {}});
    }
    if (wishes.empty()) return {};
    const auto start = Clock::now();
    LOTSE_TRY(drafter_->propose(wishes));
    drafting_seconds_ += seconds_between(start, Clock::now());
    for (DraftWish& wish : wishes) {
      wish.sequence->draft = wish.draft.tokens;
      active_.at(wish.sequence->id)->draft = std::move(wish.draft);
    }
    return {};
  }

  // That a generation may still choose.
  int64_t tokens_left(const Active& active) const {
    const int64_t context = engine_->limits().max_context - std::ssize(active.request.prompt);
    return std::min(active.request.max_tokens, context) - active.outcome.generated_tokens;
  }

  void run(const std::vector<ScheduledTokens>& step) {
    note_admissions(step);
    const auto start = Clock::now();
    const auto results = execute(step);
    executing_seconds_ += seconds_between(start, Clock::now());
    if (!results) return end_all(results.error());
    scheduler_.commit(step);
    size_t row = 0;
    for (const ScheduledTokens& part : step) {
      const bool is_embedding = active_.at(part.sequence->id)->pool.has_value();
      const auto width = at(is_embedding ? engine_->config().hidden : engine_->config().vocabulary);
      const auto rows = at(rows_of(part));
      if (is_embedding) {
        pool(part, results->hidden.subspan(row * width, rows * width));
      } else if (rows > 0) {
        deliver(part, results->logits.subspan(row * width, rows * width));
      }
      row += rows;
    }
  }

  // Of each output row what some part wants; the other may be empty.
  struct StepResults {
    std::span<const float> logits;
    std::span<const float> hidden;
  };

  Result<StepResults> execute(const std::vector<ScheduledTokens>& step) {
    const Batch batch = make_batch(step);
    bool is_logits_wanted = false;
    bool is_hidden_wanted = false;
    for (const ScheduledTokens& part : step) {
      if (rows_of(part) == 0) continue;
      (active_.at(part.sequence->id)->pool ? is_hidden_wanted : is_logits_wanted) = true;
    }
    StepResults results;
    Executable& executable = engine_->executable();
    if (!is_logits_wanted) {
      results.hidden = LOTSE_TRY(executable.run_hidden(batch));
      return results;
    }
    results.logits = LOTSE_TRY(executable.run(batch));
    if (is_hidden_wanted) results.hidden = LOTSE_TRY(executable.last_hidden());
    return results;
  }

  void pool(const ScheduledTokens& part, std::span<const float> hidden) {
    Active& active = *active_.at(part.sequence->id);
    active.pool->add(part.sequence->computed - rows_of(part), hidden);
    if (!part.reaches_end) return;
    active.sink->on_embedding(active.pool->result());
    end(part.sequence->id, FinishReason::stop);
  }

  void note_admissions(const std::vector<ScheduledTokens>& step) {
    for (const ScheduledTokens& part : step) {
      RequestOutcome& outcome = active_.at(part.sequence->id)->outcome;
      if (outcome.admitted_at > 0) continue;
      outcome.admitted_at = seconds_between(active_.at(part.sequence->id)->submitted, Clock::now());
      outcome.cached_tokens = part.sequence->cached;
      prompt_tokens_ += part.sequence->prompt_length;
    }
  }

  // Rows of logits that a part of a step has.
  static int64_t rows_of(const ScheduledTokens& part) {
    if (wants_all_rows(part)) return part.tokens;
    return part.reaches_end ? 1 + part.drafted : 0;
  }

  // Of a part that was planned: before or after it was committed.
  static bool wants_all_rows(const ScheduledTokens& part) {
    const Sequence& sequence = *part.sequence;
    return sequence.wants_all_rows && std::ssize(sequence.tokens) == sequence.prompt_length;
  }

  Batch make_batch(const std::vector<ScheduledTokens>& step) {
    batch_.clear();
    for (const ScheduledTokens& part : step) {
      const Sequence& s = *part.sequence;
      batch_.add(std::span(s.tokens).subspan(at(s.computed), at(part.tokens)),
                 std::span(s.draft).first(at(part.drafted)), s.computed, rows_of(part), s.blocks,
                 s.adapter);
    }
    return batch_.batch();
  }

  void deliver(const ScheduledTokens& part, std::span<const float> rows) {
    Active& active = *active_.at(part.sequence->id);
    if (wants_all_rows(part)) note_prompt(active, part, rows);
    if (!part.reaches_end) return;
    Sequence& sequence = *part.sequence;
    sequence.draft.clear();
    const Draft draft = std::exchange(active.draft, {});
    drafted_tokens_ += part.drafted;
    const auto vocabulary = at(engine_->config().vocabulary);
    // A row holds as long as the draft has the tokens before it right.
    for (int64_t i = 0; i <= part.drafted; ++i) {
      const auto row = rows.last(at(part.drafted + 1 - i) * vocabulary).first(vocabulary);
      const bool is_drafted = i < part.drafted;
      const auto token = is_drafted && options_.draft_rule == DraftRule::rejection
                             ? active.chooser.choose(row, draft.tokens[at(i)], draft.from[at(i)])
                             : active.chooser.choose(row);
      const bool is_right = is_drafted && token == draft.tokens[at(i)];
      accepted_tokens_ += is_right ? 1 : 0;
      if (!take(active, sequence, token, row)) return;
      if (!is_right) {
        active.draft_length.note(part.drafted, i);
        return;
      }
      scheduler_.accept_drafted(sequence);
    }
  }

  // Each row tells of the token after it.
  void note_prompt(Active& active, const ScheduledTokens& part, std::span<const float> rows) {
    const auto vocabulary = at(engine_->config().vocabulary);
    const std::vector<int32_t>& prompt = active.request.prompt;
    const int64_t first = part.sequence->computed - part.tokens;
    for (int64_t i = 0; i < part.tokens && first + i + 1 < std::ssize(prompt); ++i) {
      if (first + i != std::ssize(active.prompt_rows)) continue;  // computed again
      active.prompt_rows.push_back(with_logprobs(prompt[at(first + i + 1)],
                                                 rows.subspan(at(i) * vocabulary, vocabulary),
                                                 *active.request.prompt_logprobs));
    }
    if (part.reaches_end) active.sink->on_prompt(std::move(active.prompt_rows));
  }

  // What was chosen from `logits`, nothing where there is no token to choose. Whether the
  // generation goes on; else it was ended.
  bool take(Active& active, Sequence& sequence, std::optional<int32_t> chosen,
            std::span<const float> logits) {
    const GenerationRequest& request = active.request;
    if (!chosen) {
      end(sequence.id, active.chooser.can_end() ? FinishReason::stop : FinishReason::dead_end);
      return false;
    }
    const int32_t token = *chosen;
    RequestOutcome& outcome = active.outcome;
    if (outcome.first_token_at == 0) {
      outcome.first_token_at = seconds_between(active.submitted, Clock::now());
    }
    if (active.chooser.is_end(token)) {
      outcome.stop_token = token;
      if (request.top_logprobs) {
        outcome.stop_logprob = with_logprobs(token, logits, *request.top_logprobs);
      }
      end(sequence.id, FinishReason::stop);
      return false;
    }
    ++outcome.generated_tokens;
    ++generated_tokens_;
    const GeneratedToken generated = request.top_logprobs
                                         ? with_logprobs(token, logits, *request.top_logprobs)
                                         : GeneratedToken{token, 0, {}};
    sequence.tokens.push_back(token);
    const bool goes_on = active.sink->on_token(generated);
    active.chooser.accept(token);
    if (!goes_on || active.chooser.is_finished()) {
      end(sequence.id, FinishReason::stop);
      return false;
    }
    if (tokens_left(active) > 0) return true;
    end(sequence.id, FinishReason::length);
    return false;
  }

  void end(RequestId id, FinishReason reason, std::optional<Error> error = std::nullopt) {
    scheduler_.remove(id);
    if (drafter_ != nullptr) drafter_->forget(id);
    auto node = active_.extract(id);
    Active& active = *node.mapped();
    active.outcome.reason = reason;
    active.outcome.error = std::move(error);
    active.outcome.ended_at = seconds_between(active.submitted, Clock::now());
    ended_.push_back(std::move(node.mapped()));
  }

  // After the statistics, so that whoever hears of its end finds its request counted.
  void tell_ends() {
    for (const auto& active : std::exchange(ended_, {})) active->sink->on_end(active->outcome);
  }

  // The device failed: what is in the cache cannot be trusted.
  void end_all(const Error& error) {
    while (!active_.empty()) end(active_.begin()->first, FinishReason::error, error);
    scheduler_.reset();
    if (drafter_ != nullptr) drafter_->reset();
  }

  void publish_stats(Clock::time_point start, int64_t steps) {
    const double seconds = seconds_between(start, Clock::now());
    const std::scoped_lock lock(mutex_);
    stats_.running = scheduler_.running();
    stats_.waiting = scheduler_.waiting();
    stats_.waiting_tokens = scheduler_.waiting_tokens();
    stats_.total_blocks = blocks_.total();
    stats_.free_blocks = blocks_.available();
    stats_.cached_blocks = blocks_.cached();
    stats_.steps += steps;
    stats_.prompt_tokens = prompt_tokens_;
    stats_.generated_tokens = generated_tokens_;
    stats_.preemptions = scheduler_.preemptions();
    stats_.drafted_tokens = drafted_tokens_;
    stats_.accepted_tokens = accepted_tokens_;
    stats_.draft_source = drafter_ == nullptr ? "" : drafter_->name();
    stats_.prefix_queries = scheduler_.prefix_queries();
    stats_.prefix_hits = scheduler_.prefix_hits();
    stats_.step_seconds += steps > 0 ? seconds : 0;
    stats_.executing_seconds = executing_seconds_;
    stats_.drafting_seconds = drafting_seconds_;
  }

  const std::unique_ptr<Engine> engine_;
  const ServingOptions options_;
  const bool is_whole_;  // sequences must be computed in one step

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::vector<std::pair<RequestId, std::unique_ptr<Active>>> arrived_;
  int64_t arrived_tokens_ = 0;
  std::vector<RequestId> cancelled_;
  RequestId next_id_ = 1;
  bool is_draining_ = false;
  ServingStats stats_;
  std::mutex joining_;

  // The serving thread's.
  const std::unique_ptr<Drafter> drafter_;  // null: nothing is drafted
  BlockCache blocks_;
  Scheduler scheduler_;
  std::map<RequestId, std::unique_ptr<Active>> active_;
  std::vector<std::unique_ptr<Active>> ended_;  // whose sinks have not heard of it yet
  int64_t prompt_tokens_ = 0;
  int64_t generated_tokens_ = 0;
  int64_t drafted_tokens_ = 0;
  int64_t accepted_tokens_ = 0;
  double executing_seconds_ = 0;
  double drafting_seconds_ = 0;
  BatchBuilder batch_;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace

std::unique_ptr<ServingEngine> ServingEngine::start(std::unique_ptr<Engine> engine,
                                                    const ServingOptions& options,
                                                    std::unique_ptr<Drafter> drafter) {
  return std::make_unique<ThreadedServingEngine>(std::move(engine), options, std::move(drafter));
}

}  // namespace lotse
