#include "load/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lotse {
namespace {

double at_share(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

bool is_good(const RequestRecord& record, const ServiceLevel& level) {
  if (level.first_token_ms && (record.first - record.sent) * 1000 > *level.first_token_ms) {
    return false;
  }
  const auto per_token = time_per_token(record);
  return !level.per_token_ms || !per_token || *per_token * 1000 <= *level.per_token_ms;
}

// Few kinds, so that they can be counted: the status alone, or the cause.
std::string kind_of(const RequestRecord& record) {
  if (record.status == 0) return record.error;
  if (record.status == 200) return "broken off: " + record.error;
  return fmt::format("HTTP {}", record.status);
}

}  // namespace

Percentiles percentiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {std::ssize(values),     sum / static_cast<double>(values.size()),
          at_share(values, 0.5),  at_share(values, 0.9),
          at_share(values, 0.99), values.back()};
}

std::optional<double> time_per_token(const RequestRecord& record) {
  if (record.completion_tokens < 2) return std::nullopt;
  return (record.ended - record.first) / static_cast<double>(record.completion_tokens - 1);
}

LoadSummary summarise(const LoadRun& run, const ServiceLevel& level) {
  LoadSummary summary;
  summary.requests = std::ssize(run.records);
  summary.seconds = run.seconds;
  summary.cpu_share = run.seconds > 0 ? run.cpu_seconds / run.seconds : 0;
  std::vector<double> first, per_token, gaps, ends, late;
  for (const RequestRecord& record : run.records) {
    late.push_back(std::max(record.sent - record.due, 0.0));
    if (!record.error.empty()) {
      ++summary.errors[kind_of(record)];
      continue;
    }
    ++summary.answered;
    if (!record.breach.empty()) ++summary.breaches[record.breach];
    summary.prompt_tokens += record.prompt_tokens;
    summary.completion_tokens += record.completion_tokens;
    summary.cached_tokens += record.cached_tokens;
    summary.good += is_good(record, level) ? 1 : 0;
    first.push_back(record.first - record.sent);
    if (const auto time = time_per_token(record)) per_token.push_back(*time);
    for (size_t i = 1; i < record.texts.size(); ++i) {
      gaps.push_back(record.texts[i] - record.texts[i - 1]);
    }
    ends.push_back(record.ended - record.sent);
  }
  summary.first_token = percentiles(std::move(first));
  summary.per_token = percentiles(std::move(per_token));
  summary.inter_token = percentiles(std::move(gaps));
  summary.end_to_end = percentiles(std::move(ends));
  summary.lateness = percentiles(std::move(late));
  return summary;
}

}  // namespace lotse
