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

// The text of one family after the other; each has a sample, or a histogram, of every model.
class MetricsWriter {
 public:
  MetricsWriter(std::string_view prefix, std::span<const ModelMetrics> models)
      : prefix_(prefix), models_(models) {}

  template <class Value>
  void family(const char* type, std::string_view name, const Value& value) {
    begin(type, name);
    for (const ModelMetrics& model : models_) sample(name, labels(model), value(model));
  }
  void counter(std::string_view name, int64_t ServingStats::* member) {
    family("counter", name, [member](const ModelMetrics& model) { return model.engine.*member; });
  }
  void gauge(std::string_view name, int64_t ServingStats::* member) {
    family("gauge", name, [member](const ModelMetrics& model) { return model.engine.*member; });
  }
  void histogram(std::string_view name, Histogram RequestMetrics::* member) {
    begin("histogram", name);
    for (const ModelMetrics& model : models_) {
      (model.requests.*member).write(out_, fmt::format("{}{}", prefix_, name), labels(model));
    }
  }
  void finished() {
    constexpr std::string_view kName = "request_success_total";
    begin("counter", kName);
    for (const ModelMetrics& model : models_) {
      const auto of = [&](const char* reason, int64_t count) {
        sample(kName, fmt::format("{},finished_reason=\"{}\"", labels(model), reason), count);
      };
      of("stop", model.requests.stopped);
      of("length", model.requests.cut);
      of("abort", model.requests.cancelled);
    }
  }

  // By what made the drafts.
  void drafted(std::string_view name, int64_t ServingStats::* member) {
    begin("counter", name);
    for (const ModelMetrics& model : models_) {
      const std::string& source = model.engine.draft_source;
      sample(name, fmt::format("{},source=\"{}\"", labels(model), source.empty() ? "none" : source),
             model.engine.*member);
    }
  }

  std::string text() && { return std::move(out_); }

 private:
  static std::string labels(const ModelMetrics& model) {
    return fmt::format("model_name=\"{}\"", escaped(model.id));
  }
  void begin(const char* type, std::string_view name) {
    out_ += fmt::format("# TYPE {}{} {}\n", prefix_, name, type);
  }
  template <class Number>
  void sample(std::string_view name, const std::string& labels, Number number) {
    out_ += fmt::format("{}{}{{{}}} {}\n", prefix_, name, labels, number);
  }

  std::string_view prefix_;
  std::span<const ModelMetrics> models_;
  std::string out_;
};

double cache_usage(const ModelMetrics& model) {
  const ServingStats& stats = model.engine;
  return static_cast<double>(stats.total_blocks - stats.free_blocks) /
         static_cast<double>(std::max<int64_t>(stats.total_blocks, 1));
}

std::string text_under(std::string_view prefix, std::span<const ModelMetrics> models) {
  MetricsWriter writer(prefix, models);
  writer.gauge("num_requests_running", &ServingStats::running);
  writer.gauge("num_requests_waiting", &ServingStats::waiting);
  writer.family("gauge", "kv_cache_usage_perc", cache_usage);
  writer.counter("prompt_tokens_total", &ServingStats::prompt_tokens);
  writer.counter("generation_tokens_total", &ServingStats::generated_tokens);
  writer.counter("num_preemptions_total", &ServingStats::preemptions);
  writer.counter("prefix_cache_queries_total", &ServingStats::prefix_queries);
  writer.counter("prefix_cache_hits_total", &ServingStats::prefix_hits);
  writer.drafted("spec_decode_num_draft_tokens_total", &ServingStats::drafted_tokens);
  writer.drafted("spec_decode_num_accepted_tokens_total", &ServingStats::accepted_tokens);
  writer.finished();
  writer.histogram("time_to_first_token_seconds", &RequestMetrics::first_token);
  writer.histogram("inter_token_latency_seconds", &RequestMetrics::inter_token);
  writer.histogram("e2e_request_latency_seconds", &RequestMetrics::end_to_end);
  writer.histogram("request_queue_time_seconds", &RequestMetrics::queue);
  writer.histogram("request_prefill_time_seconds", &RequestMetrics::prefill);
  writer.histogram("request_decode_time_seconds", &RequestMetrics::decode);
  writer.histogram("request_inference_time_seconds", &RequestMetrics::inference);
  writer.histogram("request_prompt_tokens", &RequestMetrics::prompt_tokens);
  writer.histogram("request_generation_tokens", &RequestMetrics::generated_tokens);
  return std::move(writer).text();
}

}  // namespace

void Histogram::observe(double value) {
  const auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  ++counts_[static_cast<size_t>(bucket)];
  ++count_;
  sum_ += value;
}

void Histogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  int64_t below = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    below += counts_[i];
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bounds_[i], below);
  }
  out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, count_);
  out += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, labels, sum_, count_);
}

RequestMetrics::RequestMetrics()
    : first_token(kSeconds),
      inter_token(kTokenSeconds),
      end_to_end(kSeconds),
      queue(kSeconds),
      prefill(kSeconds),
      decode(kSeconds),
      inference(kSeconds),
      prompt_tokens(kTokens),
      generated_tokens(kTokens) {}

void ServerMetrics::count_request(const AnswerEnd& end) {
  const RequestOutcome& o = end.outcome;
  const std::scoped_lock lock(mutex_);
  RequestMetrics& m = metrics_;
  ++(o.reason == FinishReason::length ? m.cut : m.stopped);
  m.end_to_end.observe(o.ended_at);
  m.queue.observe(o.admitted_at);
  m.inference.observe(o.ended_at - o.admitted_at);
  m.prompt_tokens.observe(static_cast<double>(o.prompt_tokens));
  m.generated_tokens.observe(static_cast<double>(o.generated_tokens));
  if (o.first_token_at == 0) return;
  m.first_token.observe(o.first_token_at);
  m.prefill.observe(o.first_token_at - o.admitted_at);
  m.decode.observe(o.ended_at - o.first_token_at);
}

void ServerMetrics::count_cancelled(int64_t answers) {
  const std::scoped_lock lock(mutex_);
  metrics_.cancelled += answers;
}

void ServerMetrics::observe_inter_token(std::chrono::nanoseconds time) {
  const std::scoped_lock lock(mutex_);
  metrics_.inter_token.observe(std::chrono::duration<double>(time).count());
}

RequestMetrics ServerMetrics::snapshot() const {
  const std::scoped_lock lock(mutex_);
  return metrics_;
}

std::string metrics_text(std::span<const ModelMetrics> models, int64_t connections,
                         bool with_vllm_names) {
  std::string out = text_under("lotse:", models);
  if (with_vllm_names) out += text_under("vllm:", models);
  out +=
      fmt::format("# TYPE lotse:http_connections gauge\nlotse:http_connections {}\n", connections);
  return out;
}

}  // namespace lotse
