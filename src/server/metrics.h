// Counts and times of requests, in Prometheus' text format under vLLM's names.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/serving_engine.h"
#include "server/answer.h"

namespace lotse {

// Cumulative buckets. Not thread-safe.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  void write(std::string& out, const std::string& name, const std::string& labels) const;

 private:
  std::span<const double> bounds_;
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  double sum_ = 0;
};

// Thread-safe.
class ServerMetrics {
 public:
  ServerMetrics();

  void count_request(const AnswerEnd& end);
  void count_cancelled(int64_t answers);
  void observe_inter_token(std::chrono::nanoseconds time);

  // Under "lotse:", and once more under "vllm:" if asked for.
  std::string text(std::string_view model, const ServingStats& stats, int64_t connections,
                   bool with_vllm_names) const;

 private:
  std::string text_under(std::string_view prefix, std::string_view model,
                         const ServingStats& stats) const;

  mutable std::mutex mutex_;
  int64_t stopped_ = 0, cut_ = 0, cancelled_ = 0;
  Histogram first_token_, inter_token_, end_to_end_, queue_, prefill_, decode_, inference_;
  Histogram prompt_tokens_, generated_tokens_;
};

}  // namespace lotse
