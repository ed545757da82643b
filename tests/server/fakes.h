// An engine that answers what it is told to, and an exchange that keeps what it is sent.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "server/api.h"

namespace lotse {

// Answers every request at once, inside submit(), with the tokens of `answer`.
class FakeEngine final : public ServingEngine {
 public:
  Result<RequestId> submit(GenerationRequest request, std::shared_ptr<RequestSink> sink) override {
    if (refusal && requests.size() >= refuse_after) return std::unexpected(*refusal);
    const RequestId id = requests.size() + 1;
    requests.push_back(std::move(request));
    const GenerationRequest& asked = requests.back();
    if (is_silent) {
      sinks.push_back(std::move(sink));
      return id;
    }
    if (asked.prompt_logprobs) sink->on_prompt(prompt_rows(asked));
    RequestOutcome outcome;
    outcome.prompt_tokens = std::ssize(asked.prompt);
    outcome.cached_tokens = cached_tokens;
    outcome.first_token_at = outcome.ended_at = 0.25;
    outcome.reason = reason;
    outcome.error = error;
    outcome.stop_logprob = stop_logprob;
    if (asked.pooling) sink->on_embedding(embedding);
    for (const int32_t token : asked.pooling ? std::vector<int32_t>() : answer) {
      ++outcome.generated_tokens;
      const bool goes_on = sink->on_token({token, -0.5F, {{token, -0.5F}, {token + 1, -1.5F}}});
      if (!goes_on) {
        outcome.reason = FinishReason::stop;
        break;
      }
      if (outcome.generated_tokens == asked.max_tokens) {
        outcome.reason = FinishReason::length;
        break;
      }
    }
    sink->on_end(outcome);
    return id;
  }
  void cancel(RequestId id) override { cancelled.push_back(id); }
  ServingStats stats() const override { return {}; }
  void drain() override {}
  const Engine& engine() const override { std::abort(); }

  std::vector<int32_t> answer;
  std::vector<float> embedding;
  FinishReason reason = FinishReason::stop;
  std::optional<Error> error;
  std::optional<GeneratedToken> stop_logprob;
  int64_t cached_tokens = 0;
  bool is_silent = false;  // keeps the sinks instead
  std::optional<Error> refusal;
  size_t refuse_after = 0;

  std::deque<GenerationRequest> requests;
  std::vector<std::shared_ptr<RequestSink>> sinks;
  std::vector<RequestId> cancelled;

 private:
  static std::vector<GeneratedToken> prompt_rows(const GenerationRequest& request) {
    std::vector<GeneratedToken> rows;
    for (size_t i = 1; i < request.prompt.size(); ++i) {
      rows.push_back({request.prompt[i], -2, {{request.prompt[i], -2}}});
    }
    return rows;
  }
};

class FakeExchange final : public Exchange {
 public:
  FakeExchange(HttpHead head, std::string body) : head_(std::move(head)), body_(std::move(body)) {}

  const HttpHead& head() const override { return head_; }
  const std::string& body() const override { return body_; }
  void respond(HttpResponse answer) override {
    const std::scoped_lock lock(mutex_);
    response = std::move(answer);
    end();
  }
  void begin_stream(HttpResponse head, std::string) override {
    const std::scoped_lock lock(mutex_);
    response = std::move(head);
    is_stream = true;
  }
  void write(std::string text) override {
    const std::scoped_lock lock(mutex_);
    response.body += text;
  }
  void end_stream() override {
    const std::scoped_lock lock(mutex_);
    end();
  }
  void on_disconnect(std::function<void()> callback) override {
    const std::scoped_lock lock(mutex_);
    disconnected_ = std::move(callback);
  }
  void post(std::function<void()> function) override {
    const std::scoped_lock lock(mutex_);
    function();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [this] { return has_ended_; });
    if (!has_ended_) throw std::runtime_error("no answer");
  }
  void disconnect() {
    const std::scoped_lock lock(mutex_);
    if (const auto callback = std::exchange(disconnected_, nullptr)) callback();
  }

  HttpResponse response;
  bool is_stream = false;

 private:
  void end() {
    has_ended_ = true;
    disconnected_ = nullptr;
    changed_.notify_all();
  }

  HttpHead head_;
  std::string body_;
  std::recursive_mutex mutex_;
  std::condition_variable_any changed_;
  bool has_ended_ = false;
  std::function<void()> disconnected_;
};

}  // namespace lotse
