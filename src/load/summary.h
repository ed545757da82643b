// A run of the load generator in figures.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "load/generator.h"

namespace lotse {

// Between two values, percentiles are interpolated; all are 0 where there is no value.
struct Percentiles {
  int64_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Percentiles percentiles(std::vector<double> values);

// What an answer must keep to count as good.
struct ServiceLevel {
  std::optional<double> first_token_ms, per_token_ms;
};

// Of the requests that were answered whole; times in seconds.
struct LoadSummary {
  int64_t requests = 0, answered = 0, good = 0;
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
  double seconds = 0;
  Percentiles first_token;  // TTFT: from sending to the first text
  Percentiles per_token;    // TPOT: (end − first text) / (tokens − 1)
  Percentiles inter_token;  // ITL: between pieces of text, all requests together
  Percentiles end_to_end;
  Percentiles lateness;                     // from when a request was due until it was sent
  std::map<std::string, int64_t> errors;    // by status or cause
  std::map<std::string, int64_t> breaches;  // of conventions
  double cpu_share = 0;                     // of one core, that the generator used

  double per_second(int64_t count) const {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
  }
};
LoadSummary summarise(const LoadRun& run, const ServiceLevel& level);

// Of one answer, in seconds; nothing where it has a single token.
std::optional<double> time_per_token(const RequestRecord& record);

}  // namespace lotse
