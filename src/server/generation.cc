#include "server/generation.h"

#include <cmath>

#include "server/answer_reader.h"

namespace lotse {
namespace {

constexpr const char* kPing = ": ping\n\n";

// Shared by the sinks of all answers. Everything but its constants belongs to the I/O thread.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(std::shared_ptr<const ServedModel> served, GenerationJob wanted,
             std::unique_ptr<AnswerFormat> format, std::shared_ptr<Exchange> exchange,
             std::function<void(const GenerationSummary&)> done)
      : model(std::move(served)),
        job(std::move(wanted)),
        metrics(*model->metrics),
        format_(std::move(format)),
        exchange_(std::move(exchange)),
        done_(std::move(done)),
        answers_(job.prompts.size() * static_cast<size_t>(job.settings.n)) {
    for (const Prompt& prompt : job.prompts) usage_.prompt_tokens += std::ssize(prompt.tokens);
    if (reasons(job.settings.shape.format)) usage_.reasoning_tokens = 0;
  }

  const std::shared_ptr<const ServedModel> model;
  const GenerationJob job;
  ServerMetrics& metrics;

  size_t answers() const { return answers_.size(); }
  const Prompt& prompt_of(size_t answer) const {
    return job.prompts[answer / static_cast<size_t>(job.settings.n)];
  }

  // Any thread: what a sink heard.
  void deliver(size_t answer, Piece piece) {
    exchange_->post([self = shared_from_this(), answer, piece = std::move(piece)]() mutable {
      self->in_order([self, answer, piece = std::move(piece)] { self->on_piece(answer, piece); });
    });
  }
  void deliver(size_t answer, AnswerEnd end) {
    exchange_->post([self = shared_from_this(), answer, end = std::move(end)]() mutable {
      self->in_order([self, answer, end = std::move(end)] { self->on_end(answer, end); });
    });
  }

  // All answers were submitted: from now on the client hears of them.
  void accept(std::vector<RequestId> ids) {
    exchange_->post([self = shared_from_this(), ids = std::move(ids)]() mutable {
      self->ids_ = std::move(ids);
      self->begin();
    });
  }

  // Not all could be submitted: the client hears of another error.
  void abandon() {
    exchange_->post([self = shared_from_this()] {
      self->is_accepted_ = self->is_over_ = true;
      self->early_.clear();
    });
  }

 private:
  // Keeps what comes before accept() for later.
  void in_order(std::function<void()> event) {
    if (is_accepted_) return event();
    early_.push_back(std::move(event));
  }

  void begin() {
    is_accepted_ = true;
    exchange_->on_disconnect([self = shared_from_this()] { self->on_disconnect(); });
    if (job.settings.stream) {
      HttpResponse head{200, "text/event-stream; charset=utf-8", "", job.headers};
      head.headers.emplace_back("Cache-Control", "no-cache");
      head.headers.emplace_back("X-Accel-Buffering", "no");
      exchange_->begin_stream(std::move(head), kPing);
    }
    for (const auto& event : std::exchange(early_, {})) event();
  }

  void on_disconnect() {
    if (is_over_) return;
    cancel_all();
    metrics.count_cancelled(std::ssize(ids_));
    finish(499, "disconnected");
  }

  void cancel_all() {
    for (const RequestId id : ids_) model->engine.cancel(id);
  }

  void on_piece(size_t index, const Piece& piece) {
    if (is_over_) return;
    if (!piece.is_prompt) usage_.completion_tokens += std::ssize(piece.tokens);
    if (usage_.reasoning_tokens) *usage_.reasoning_tokens += piece.reasoning_tokens;
    if (job.settings.stream) {
      exchange_->write(format_->piece(index, piece, usage_));
      return;
    }
    Answer& answer = answers_[index];
    if (!piece.is_prompt || job.settings.echo) {
      for (const OutputEvent& event : piece.events) answer.add(event);
    }
    auto& tokens = piece.is_prompt ? answer.prompt_tokens : answer.tokens;
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
  }

  void on_end(size_t index, const AnswerEnd& end) {
    if (is_over_) return;
    if (const auto reason = finish_reason(end); !reason) return fail(reason.error());
    if (index % static_cast<size_t>(job.settings.n) == 0) {
      usage_.cached_tokens = usage_.cached_tokens.value_or(0) + end.outcome.cached_tokens;
    }
    answers_[index].end = end;
    if (job.settings.stream) exchange_->write(format_->end(index, end, usage_));
    metrics.count_request(end);
    first_token_ = std::max(first_token_, end.outcome.first_token_at);
    note_times(end.outcome);
    if (++ended_ == answers_.size()) complete(*finish_reason(end));
  }

  void note_times(const RequestOutcome& outcome) {
    if (!times_) {
      times_ = {submitted_, outcome.admitted_at, outcome.first_token_at, outcome.ended_at};
      return;
    }
    times_->admitted = std::min(times_->admitted, outcome.admitted_at);
    times_->first_token = std::min(times_->first_token, outcome.first_token_at);
    times_->ended = std::max(times_->ended, outcome.ended_at);
  }

  void complete(const char* reason) {
    if (job.settings.stream) {
      exchange_->write(format_->finish(usage_));
      exchange_->end_stream();
    } else {
      exchange_->respond({200, "application/json", format_->whole(answers_, usage_), job.headers});
    }
    finish(200, reason);
  }

  void fail(const ApiError& error) {
    cancel_all();
    if (job.settings.stream) {
      exchange_->write(format_->failure(error));
      exchange_->end_stream();
    } else {
      HttpResponse response = error_response(error);
      response.headers.insert(response.headers.end(), job.headers.begin(), job.headers.end());
      exchange_->respond(std::move(response));
    }
    finish(error.status, "error");
  }

  void finish(int status, std::string reason) {
    is_over_ = true;
    done_({status, usage_, std::move(reason), first_token_, times_});
  }

  std::unique_ptr<AnswerFormat> format_;
  std::shared_ptr<Exchange> exchange_;
  std::function<void(const GenerationSummary&)> done_;
  std::vector<Answer> answers_;
  std::vector<RequestId> ids_;
  std::vector<std::function<void()>> early_;
  bool is_accepted_ = false;
  bool is_over_ = false;
  size_t ended_ = 0;
  Usage usage_;
  double first_token_ = 0;
  const std::chrono::steady_clock::time_point submitted_ = std::chrono::steady_clock::now();
  std::optional<GenerationTimes> times_;
};

// Hears of one answer on the engine's thread.
class AnswerSink final : public RequestSink {
 public:
  AnswerSink(std::shared_ptr<Generation> generation, size_t answer)
      : generation_(std::move(generation)),
        settings_(generation_->job.settings),
        answer_(answer),
        reader_(settings_, generation_->model->tokenizer,
                generation_->job.id_seed + (uint64_t{answer} << 32)) {}

  void on_prompt(std::vector<GeneratedToken> tokens) override {
    const Prompt& prompt = generation_->prompt_of(answer_);
    tokens.insert(tokens.begin(), GeneratedToken{prompt.tokens.front(), std::nanf(""), {}});
    generation_->deliver(answer_, prompt_piece(prompt, std::move(tokens)));
    has_prompt_ = true;
  }

  bool on_token(const GeneratedToken& token) override {
    note_time();
    echo_prompt();
    if (settings_.max_tokens == 0) return false;
    generation_->deliver(answer_, reader_.push(token));
    return !reader_.is_over();
  }

  void on_end(const RequestOutcome& outcome) override {
    echo_prompt();
    AnswerEnd end{outcome, {}};
    if (settings_.max_tokens == 0 && outcome.reason == FinishReason::stop) {
      end.outcome.reason = FinishReason::length;
      end.outcome.generated_tokens = 0;
    }
    const bool had_stop = reader_.stop_string().has_value();
    Piece rest = reader_.finish();
    if (!rest.events.empty()) generation_->deliver(answer_, std::move(rest));
    if (!had_stop && reader_.stop_string()) end.outcome.reason = FinishReason::stop;
    end.stop_string = reader_.stop_string();
    end.has_calls = reader_.has_calls();
    // Whoever has a prompt scored takes the last log-probability for that of a generated token, as
    // lm-evaluation-harness does; there must be one though the answer is empty.
    if (settings_.echo_logprobs && outcome.stop_logprob && settings_.max_tokens != 0) {
      generation_->deliver(answer_, Piece{{}, {*outcome.stop_logprob}});
    }
    generation_->deliver(answer_, std::move(end));
  }

 private:
  // Once, before anything else of the answer.
  void echo_prompt() {
    if (has_prompt_ || !settings_.echo) return;
    generation_->deliver(answer_, prompt_piece(generation_->prompt_of(answer_), {}));
    has_prompt_ = true;
  }

  Piece prompt_piece(const Prompt& prompt, std::vector<GeneratedToken> tokens) const {
    Piece piece{{}, std::move(tokens), true};
    if (settings_.echo) {
      piece.events.push_back(
          {OutputEvent::Kind::content, generation_->model->tokenizer.decode(prompt.tokens, true)});
    }
    return piece;
  }

  void note_time() {
    const auto now = std::chrono::steady_clock::now();
    if (last_token_) generation_->metrics.observe_inter_token(now - *last_token_);
    last_token_ = now;
  }

  std::shared_ptr<Generation> generation_;
  const GenerationSettings& settings_;
  size_t answer_;
  AnswerReader reader_;
  bool has_prompt_ = false;
  std::optional<std::chrono::steady_clock::time_point> last_token_;
};

}  // namespace

ApiResult<void> generate(const std::shared_ptr<const ServedModel>& model, GenerationJob job,
                         std::unique_ptr<AnswerFormat> format, std::shared_ptr<Exchange> exchange,
                         std::function<void(const GenerationSummary&)> done) {
  const auto generation = std::make_shared<Generation>(model, std::move(job), std::move(format),
                                                       std::move(exchange), std::move(done));
  const GenerationJob& kept = generation->job;
  std::vector<RequestId> ids;
  for (size_t answer = 0; answer < generation->answers(); ++answer) {
    auto request =
        make_request(kept.settings, model->tokenizer, generation->prompt_of(answer).tokens,
                     kept.seed, static_cast<int64_t>(answer) % kept.settings.n);
    request.deadline = kept.deadline;
    auto id =
        model->engine.submit(std::move(request), std::make_shared<AnswerSink>(generation, answer));
    if (!id) {
      for (const RequestId submitted : ids) model->engine.cancel(submitted);
      generation->abandon();
      return std::unexpected(api_error(id.error()));
    }
    ids.push_back(*id);
  }
  generation->accept(std::move(ids));
  return {};
}

}  // namespace lotse
