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

// Counts by bucket. Not thread-safe.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  // The samples of one set of labels, without the family's TYPE line.
  void write(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::span<const double> bounds_;
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  double sum_ = 0;
};

// Of one model's requests.
struct RequestMetrics {
  RequestMetrics();

  int64_t stopped = 0, cut = 0, cancelled = 0;
  Histogram first_token, inter_token, end_to_end, queue, prefill, decode, inference;
  Histogram prompt_tokens, generated_tokens;
};

// Thread-safe.
class ServerMetrics {
 public:
  void count_request(const AnswerEnd& end);
  void count_cancelled(int64_t answers);
  void observe_inter_token(std::chrono::nanoseconds time);

  RequestMetrics snapshot() const;

 private:
  mutable std::mutex mutex_;
  RequestMetrics metrics_;
};

struct ModelMetrics {
  std::string id;
  RequestMetrics requests;
  ServingStats engine;
};

// Under "lotse:", and once more under "vllm:" if asked for.
std::string metrics_text(std::span<const ModelMetrics> models, int64_t connections,
                         bool with_vllm_names);

}  // namespace lotse
