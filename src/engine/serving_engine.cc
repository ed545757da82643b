#include "engine/serving_engine.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "engine/draft.h"
#include "engine/logprobs.h"
#include "engine/scheduler.h"

namespace lotse {
namespace {

using Clock = std::chrono::steady_clock;

// Rows that a step may have with drafts: about what the weights' way from memory pays for.
constexpr int64_t kDraftRows = 16;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

size_t at(int64_t index) { return static_cast<size_t>(index); }

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

// A request with everything that its generation needs but its place in the schedule.
struct Active {
  Active(GenerationRequest asked, std::shared_ptr<RequestSink> listener)
      : request(std::move(asked)), sink(std::move(listener)), sampler(request.sampling) {
    outcome.prompt_tokens = std::ssize(request.prompt);
  }

  GenerationRequest request;
  std::shared_ptr<RequestSink> sink;
  Sampler sampler;
  Clock::time_point submitted = Clock::now();
  RequestOutcome outcome;
  std::vector<GeneratedToken> prompt_rows;  // of tokens 1, 2, …, as far as they were computed
};

class ThreadedServingEngine final : public ServingEngine {
 public:
  ThreadedServingEngine(std::unique_ptr<Engine> engine, const ServingOptions& options)
      : engine_(std::move(engine)),
        options_(options),
        blocks_(engine_->limits().cache_blocks, options.prefix_cache),
        scheduler_({std::min(options.max_sequences, engine_->limits().max_sequences),
                    std::min(options.step_tokens, engine_->limits().max_tokens),
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
    arrived_.emplace_back(id, std::make_unique<Active>(std::move(request), std::move(sink)));
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
    if (length >= context) {
      return fail(ErrorCode::invalid_input,
                  "the prompt has {} tokens, and the context of {} must hold it and an answer",
                  length, context);
    }
    const auto is_known = [this](int32_t token) {
      return token >= 0 && token < engine_->config().vocabulary;
    };
    const auto expect_known = [&](const auto& tokens, const char* what) -> Result<void> {
      const auto unknown = std::ranges::find_if_not(tokens, is_known);
      if (unknown == tokens.end()) return {};
      return fail(ErrorCode::invalid_input, "token {} of the {} is outside the vocabulary of {}",
                  *unknown, what, engine_->config().vocabulary);
    };
    LOTSE_TRY(expect_known(request.prompt, "prompt"));
    LOTSE_TRY(expect_known(request.allowed_tokens, "allowed tokens"));
    std::vector<int32_t> biased;
    for (const auto& [token, bias] : request.logit_bias) biased.push_back(token);
    return expect_known(biased, "logit bias");
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
      make_drafts();
      const std::vector<ScheduledTokens> step = scheduler_.plan();
      if (!step.empty()) run(step);
      publish_stats(start, step.empty() ? 0 : 1);
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
    sequence->wants_all_rows = active->request.prompt_logprobs.has_value();
    sequence->prompt_length = std::ssize(active->request.prompt);
    sequence->tokens = active->request.prompt;
    sequence->salt = hash_salt(active->request.cache_salt);
    active->sampler.see_prompt(active->request.prompt);
    active_.emplace(id, std::move(active));
    scheduler_.add(std::move(sequence));
  }

  void expire(Clock::time_point now) {
    std::vector<RequestId> expired;
    for (const auto& [id, active] : active_) {
      if (active->request.deadline && *active->request.deadline <= now) expired.push_back(id);
    }
    for (const RequestId id : expired) end(id, FinishReason::deadline);
  }

  void make_drafts() {
    if (options_.draft_tokens == 0) return;
    const std::vector<Sequence*> sequences = scheduler_.generating();
    for (Sequence* sequence : sequences) {
      const int64_t left = engine_->limits().max_context - std::ssize(sequence->tokens) - 1;
      const int64_t each = kDraftRows / std::ssize(sequences) - 1;
      sequence->draft =
          look_up_draft(sequence->tokens, std::min({options_.draft_tokens, each, left}));
    }
  }

  void run(const std::vector<ScheduledTokens>& step) {
    note_admissions(step);
    const auto start = Clock::now();
    const auto logits = engine_->executable().run(make_batch(step));
    executing_seconds_ += seconds_between(start, Clock::now());
    if (!logits) return end_all(logits.error());
    scheduler_.commit(step);
    const auto vocabulary = at(engine_->config().vocabulary);
    size_t row = 0;
    for (const ScheduledTokens& part : step) {
      const auto rows =
          std::span(*logits).subspan(row * vocabulary, at(rows_of(part)) * vocabulary);
      row += at(rows_of(part));
      deliver(part, rows);
    }
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
    tokens_.clear();
    positions_.clear();
    rows_.clear();
    sequences_.clear();
    for (const ScheduledTokens& part : step) {
      const Sequence& s = *part.sequence;
      const auto first = static_cast<int32_t>(tokens_.size());
      const auto fresh = std::span(s.tokens).subspan(at(s.computed), at(part.tokens));
      tokens_.insert(tokens_.end(), fresh.begin(), fresh.end());
      tokens_.insert(tokens_.end(), s.draft.begin(), s.draft.begin() + part.drafted);
      const int64_t count = part.tokens + part.drafted;
      for (int64_t i = 0; i < count; ++i) {
        positions_.push_back(static_cast<int32_t>(s.computed + i));
      }
      for (int64_t i = count - rows_of(part); i < count; ++i) {
        rows_.push_back(first + static_cast<int32_t>(i));
      }
      sequences_.push_back(
          {first, static_cast<int32_t>(count), static_cast<int32_t>(s.computed + count), s.blocks});
    }
    if (rows_.empty()) rows_.push_back(0);  // a device makes at least one row
    return {tokens_, positions_, sequences_, rows_};
  }

  void deliver(const ScheduledTokens& part, std::span<const float> rows) {
    Active& active = *active_.at(part.sequence->id);
    if (wants_all_rows(part)) note_prompt(active, part, rows);
    if (!part.reaches_end) return;
    const auto vocabulary = at(engine_->config().vocabulary);
    // Each row's choice is what it would be without a draft; the next row holds as long as the
    // draft has it right.
    Sequence& sequence = *part.sequence;
    const std::vector<int32_t> draft = std::exchange(sequence.draft, {});
    drafted_tokens_ += part.drafted;
    for (int64_t i = 0; i <= part.drafted; ++i) {
      const auto row = rows.last(at(part.drafted + 1 - i) * vocabulary).first(vocabulary);
      const auto token = choose(active, sequence, row);
      if (!token || i == part.drafted || *token != draft[at(i)]) return;
      scheduler_.accept_drafted(sequence);
      ++accepted_tokens_;
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

  // The token that was chosen; nothing when the generation has ended.
  std::optional<int32_t> choose(Active& active, Sequence& sequence, std::span<const float> logits) {
    const GenerationRequest& request = active.request;
    const std::span<const float> adjusted = adjust(active, logits);
    if (std::ranges::all_of(adjusted, [](float logit) { return logit == kForbidden; })) {
      const bool is_whole = !request.constraint || request.constraint->can_end();
      end(sequence.id, is_whole ? FinishReason::stop : FinishReason::dead_end);
      return std::nullopt;
    }
    const int32_t token = active.sampler.sample(adjusted);
    RequestOutcome& outcome = active.outcome;
    if (outcome.first_token_at == 0) {
      outcome.first_token_at = seconds_between(active.submitted, Clock::now());
    }
    if (is_end(request, token)) {
      outcome.stop_token = token;
      end(sequence.id, FinishReason::stop);
      return std::nullopt;
    }
    ++outcome.generated_tokens;
    ++generated_tokens_;
    const GeneratedToken generated = request.top_logprobs
                                         ? with_logprobs(token, logits, *request.top_logprobs)
                                         : GeneratedToken{token, 0, {}};
    sequence.tokens.push_back(token);
    const bool goes_on = active.sink->on_token(generated);
    if (request.constraint) request.constraint->accept(token);
    if (!goes_on || (request.constraint && request.constraint->is_finished())) {
      end(sequence.id, FinishReason::stop);
      return std::nullopt;
    }
    if (outcome.generated_tokens >= request.max_tokens ||
        std::ssize(sequence.tokens) >= engine_->limits().max_context) {
      end(sequence.id, FinishReason::length);
      return std::nullopt;
    }
    return token;
  }

  bool is_end(const GenerationRequest& request, int32_t token) const {
    if (std::ranges::find(request.stop_tokens, token) != request.stop_tokens.end()) return true;
    return !request.ignore_eos && engine_->is_end(token);
  }

  // The logits after what the request forbids and favours; the same ones where it does neither.
  std::span<const float> adjust(const Active& active, std::span<const float> logits) {
    const GenerationRequest& request = active.request;
    const bool is_early = active.outcome.generated_tokens < request.min_tokens;
    if (!request.constraint && request.logit_bias.empty() && request.allowed_tokens.empty() &&
        !is_early) {
      return logits;
    }
    adjusted_.assign(logits.begin(), logits.end());
    if (!request.allowed_tokens.empty()) {
      std::ranges::fill(adjusted_, kForbidden);
      for (const int32_t id : request.allowed_tokens) adjusted_[at(id)] = logits[at(id)];
    }
    for (const auto& [id, bias] : request.logit_bias) adjusted_[at(id)] += bias;
    if (request.constraint) constrain(request);
    if (is_early) {
      const auto forbid = [&](int64_t id) { adjusted_[at(id)] = kForbidden; };
      for_each_known(engine_->end_tokens(), forbid);
      for_each_known(request.stop_tokens, forbid);
    }
    return adjusted_;
  }

  // Of those that end a text: neither list need keep to the vocabulary, since one is a file's and
  // the other a request's.
  void for_each_known(const auto& tokens, const auto& function) const {
    for (const int64_t id : tokens) {
      if (id >= 0 && id < std::ssize(adjusted_)) function(id);
    }
  }

  // Leaves the tokens that the constraint allows and, where the text is complete, end tokens.
  void constrain(const GenerationRequest& request) {
    ends_.clear();
    const auto keep = [&](int64_t id) { ends_.emplace_back(id, adjusted_[at(id)]); };
    if (!request.ignore_eos) for_each_known(engine_->end_tokens(), keep);
    for_each_known(request.stop_tokens, keep);
    request.constraint->mask(adjusted_);
    if (!request.constraint->can_end()) return;
    for (const auto& [id, logit] : ends_) adjusted_[at(id)] = logit;
  }

  void end(RequestId id, FinishReason reason, std::optional<Error> error = std::nullopt) {
    scheduler_.remove(id);
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
    stats_.prefix_queries = scheduler_.prefix_queries();
    stats_.prefix_hits = scheduler_.prefix_hits();
    stats_.step_seconds += steps > 0 ? seconds : 0;
    stats_.executing_seconds = executing_seconds_;
  }

  const std::unique_ptr<Engine> engine_;
  const ServingOptions options_;

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
  BlockCache blocks_;
  Scheduler scheduler_;
  std::map<RequestId, std::unique_ptr<Active>> active_;
  std::vector<std::unique_ptr<Active>> ended_;  // whose sinks have not heard of it yet
  int64_t prompt_tokens_ = 0;
  int64_t generated_tokens_ = 0;
  int64_t drafted_tokens_ = 0;
  int64_t accepted_tokens_ = 0;
  double executing_seconds_ = 0;
  std::vector<int32_t> tokens_, positions_, rows_;
  std::vector<BatchSequence> sequences_;
  std::vector<float> adjusted_;
  std::vector<std::pair<int64_t, float>> ends_;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace

std::unique_ptr<ServingEngine> ServingEngine::start(std::unique_ptr<Engine> engine,
                                                    const ServingOptions& options) {
  return std::make_unique<ThreadedServingEngine>(std::move(engine), options);
}

}  // namespace lotse
