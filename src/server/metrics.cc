#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace lotse {
namespace {

constexpr double kSeconds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
                               0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80,   160};
constexpr double kTokenSeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                    0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5};
constexpr double kTokens[] = {1,   2,    5,    10,   20,    50,    100,   200,
                              500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

// A label's value (Prometheus' text format 0.0.4).
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

}  // namespace

void Histogram::observe(double value) {
  const auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  ++counts_[static_cast<size_t>(bucket)];
  ++count_;
  sum_ += value;
}

void Histogram::write(std::string& out, const std::string& name, const std::string& labels) const {
  out += fmt::format("# TYPE {} histogram\n", name);
  int64_t below = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    below += counts_[i];
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bounds_[i], below);
  }
  out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, count_);
  out += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, labels, sum_, count_);
}

ServerMetrics::ServerMetrics()
    : first_token_(kSeconds),
      inter_token_(kTokenSeconds),
      end_to_end_(kSeconds),
      queue_(kSeconds),
      prefill_(kSeconds),
      decode_(kSeconds),
      inference_(kSeconds),
      prompt_tokens_(kTokens),
      generated_tokens_(kTokens) {}

void ServerMetrics::count_request(const AnswerEnd& end) {
  const RequestOutcome& o = end.outcome;
  const std::scoped_lock lock(mutex_);
  ++(o.reason == FinishReason::length ? cut_ : stopped_);
  end_to_end_.observe(o.ended_at);
  queue_.observe(o.admitted_at);
  inference_.observe(o.ended_at - o.admitted_at);
  prompt_tokens_.observe(static_cast<double>(o.prompt_tokens));
  generated_tokens_.observe(static_cast<double>(o.generated_tokens));
  if (o.first_token_at == 0) return;
  first_token_.observe(o.first_token_at);
  prefill_.observe(o.first_token_at - o.admitted_at);
  decode_.observe(o.ended_at - o.first_token_at);
}

void ServerMetrics::count_cancelled(int64_t answers) {
  const std::scoped_lock lock(mutex_);
  cancelled_ += answers;
}

void ServerMetrics::observe_inter_token(std::chrono::nanoseconds time) {
  const std::scoped_lock lock(mutex_);
  inter_token_.observe(std::chrono::duration<double>(time).count());
}

std::string ServerMetrics::text(std::string_view model, const ServingStats& stats,
                                int64_t connections, bool with_vllm_names) const {
  const std::scoped_lock lock(mutex_);
  std::string out = text_under("lotse:", model, stats);
  if (with_vllm_names) out += text_under("vllm:", model, stats);
  out +=
      fmt::format("# TYPE lotse:http_connections gauge\nlotse:http_connections {}\n", connections);
  return out;
}

std::string ServerMetrics::text_under(std::string_view prefix, std::string_view model,
                                      const ServingStats& stats) const {
  const std::string labels = fmt::format("model_name=\"{}\"", escaped(model));
  std::string out;
  const auto value = [&](const char* type, std::string_view name, auto number) {
    out +=
        fmt::format("# TYPE {0}{1} {2}\n{0}{1}{{{3}}} {4}\n", prefix, name, type, labels, number);
  };
  const auto total = static_cast<double>(std::max<int64_t>(stats.total_blocks, 1));
  value("gauge", "num_requests_running", stats.running);
  value("gauge", "num_requests_waiting", stats.waiting);
  value("gauge", "kv_cache_usage_perc",
        static_cast<double>(stats.total_blocks - stats.free_blocks) / total);
  value("counter", "prompt_tokens_total", stats.prompt_tokens);
  value("counter", "generation_tokens_total", stats.generated_tokens);
  value("counter", "num_preemptions_total", stats.preemptions);
  value("counter", "prefix_cache_queries_total", stats.prefix_queries);
  value("counter", "prefix_cache_hits_total", stats.prefix_hits);
  value("counter", "spec_decode_num_draft_tokens_total", stats.drafted_tokens);
  value("counter", "spec_decode_num_accepted_tokens_total", stats.accepted_tokens);
  out += fmt::format("# TYPE {}request_success_total counter\n", prefix);
  const auto finished = [&](const char* reason, int64_t count) {
    out += fmt::format("{}request_success_total{{{},finished_reason=\"{}\"}} {}\n", prefix, labels,
                       reason, count);
  };
  finished("stop", stopped_);
  finished("length", cut_);
  finished("abort", cancelled_);
  const auto histogram = [&](const char* name, const Histogram& values) {
    values.write(out, std::string(prefix) + name, labels);
  };
  histogram("time_to_first_token_seconds", first_token_);
  histogram("inter_token_latency_seconds", inter_token_);
  histogram("e2e_request_latency_seconds", end_to_end_);
  histogram("request_queue_time_seconds", queue_);
  histogram("request_prefill_time_seconds", prefill_);
  histogram("request_decode_time_seconds", decode_);
  histogram("request_inference_time_seconds", inference_);
  histogram("request_prompt_tokens", prompt_tokens_);
  histogram("request_generation_tokens", generated_tokens_);
  return out;
}

}  // namespace lotse
