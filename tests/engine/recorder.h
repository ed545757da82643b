// A sink that keeps what it is told.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/request.h"

namespace lotse {

class Recorder final : public RequestSink {
 public:
  explicit Recorder(int64_t stop_after = -1) : stop_after_(stop_after) {}

  void on_prompt(std::vector<GeneratedToken> rows) override { prompt = std::move(rows); }

  bool on_token(const GeneratedToken& token) override {
    const std::scoped_lock lock(mutex_);
    tokens.push_back(token.token);
    logprobs.push_back(token.logprob);
    changed_.notify_all();
    return std::ssize(tokens) != stop_after_;
  }

  void on_end(const RequestOutcome& outcome) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_FALSE(outcome_) << "ended twice";
    outcome_ = outcome;
    changed_.notify_all();
  }

  const RequestOutcome& wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [this] { return outcome_.has_value(); }));
    return *outcome_;
  }

  void wait_for_tokens(int64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60),
                      [&] { return outcome_.has_value() || std::ssize(tokens) >= count; });
  }

  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<GeneratedToken> prompt;

 private:
  int64_t stop_after_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<RequestOutcome> outcome_;
};

}  // namespace lotse
