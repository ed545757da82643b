#include "load/report.h"

#include <algorithm>
#include <thread>

#include "base/json.h"

namespace lotse {
namespace {

struct Row {
  const char* name;
  const char* key;
  const Percentiles& values;
};

std::vector<Row> rows(const LoadSummary& s) {
  return {{"time to first token", "ttft_ms", s.first_token},
          {"time per output token", "tpot_ms", s.per_token},
          {"inter-token latency", "itl_ms", s.inter_token},
          {"end to end", "e2e_ms", s.end_to_end}};
}

bool has_level(const ServiceLevel& level) { return level.first_token_ms || level.per_token_ms; }

nlohmann::ordered_json percentiles_json(const Percentiles& p) {
  return {{"count", p.count},    {"mean", p.mean * 1000}, {"p50", p.p50 * 1000},
          {"p90", p.p90 * 1000}, {"p99", p.p99 * 1000},   {"max", p.max * 1000}};
}

nlohmann::ordered_json request_json(const RequestRecord& r) {
  nlohmann::ordered_json json = {{"sent", r.sent},
                                 {"status", r.status},
                                 {"prompt_tokens", r.prompt_tokens},
                                 {"completion_tokens", r.completion_tokens},
                                 {"ttft_ms", (r.first - r.sent) * 1000},
                                 {"e2e_ms", (r.ended - r.sent) * 1000}};
  if (const auto time = time_per_token(r)) json["tpot_ms"] = *time * 1000;
  if (!r.error.empty()) json["error"] = r.error;
  if (!r.breach.empty()) json["breach"] = r.breach;
  return json;
}

std::string level_text(const ServiceLevel& level) {
  std::string text;
  if (level.first_token_ms) text += fmt::format("first token within {} ms", *level.first_token_ms);
  if (level.first_token_ms && level.per_token_ms) text += ", ";
  if (level.per_token_ms) text += fmt::format("{} ms per token", *level.per_token_ms);
  return text;
}

}  // namespace

std::string load_text(const LoadReport& report) {
  const LoadSummary& s = report.summary;
  std::string text =
      fmt::format("{} on {}: {}\n", report.run.model, report.run.server, report.workload);
  text += fmt::format("{} of {} requests answered in {:.1f} s, at most {} at once{}\n", s.answered,
                      s.requests, s.seconds, report.run.most_in_flight,
                      report.run.was_interrupted ? "; interrupted" : "");
  if (report.run.shortened > 0) {
    text +=
        fmt::format("{} requests were cut to fit in the model's context\n", report.run.shortened);
  }
  text += fmt::format(
      "{:.2f} requests/s, {:.1f} prompt tokens/s ({:.0f}% cached), "
      "{:.1f} output tokens/s\n",
      s.per_second(s.answered), s.per_second(s.prompt_tokens),
      s.prompt_tokens > 0
          ? 100.0 * static_cast<double>(s.cached_tokens) / static_cast<double>(s.prompt_tokens)
          : 0,
      s.per_second(s.completion_tokens));
  if (has_level(report.level)) {
    text += fmt::format("goodput {:.2f} requests/s: {} of {} with {}\n", s.per_second(s.good),
                        s.good, s.requests, level_text(report.level));
  }
  text += fmt::format("\n{:<22} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "ms", "mean", "p50", "p90", "p99",
                      "max");
  for (const Row& row : rows(s)) {
    const Percentiles& p = row.values;
    text += fmt::format("{:<22} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f}\n", row.name,
                        p.mean * 1000, p.p50 * 1000, p.p90 * 1000, p.p99 * 1000, p.max * 1000);
  }
  text += fmt::format(
      "\nthe generator used {:.1f}% of one core ({} here), and sent p99 {:.2f} ms "
      "late\n",
      s.cpu_share * 100, std::thread::hardware_concurrency(), s.lateness.p99 * 1000);
  for (const auto& [kind, count] : s.errors) text += fmt::format("failed: {} × {}\n", count, kind);
  for (const auto& [kind, count] : s.breaches) {
    text += fmt::format("convention broken: {} × {}\n", count, kind);
  }
  return text;
}

std::string load_json(const LoadReport& report) {
  const LoadSummary& s = report.summary;
  nlohmann::ordered_json json = {{"server", report.run.server},
                                 {"model", report.run.model},
                                 {"workload", report.workload},
                                 {"exact_prompt_lengths", report.run.has_tokens},
                                 {"interrupted", report.run.was_interrupted},
                                 {"seconds", s.seconds},
                                 {"sent", s.requests},
                                 {"answered", s.answered},
                                 {"shortened", report.run.shortened},
                                 {"most_in_flight", report.run.most_in_flight},
                                 {"prompt_tokens", s.prompt_tokens},
                                 {"cached_tokens", s.cached_tokens},
                                 {"completion_tokens", s.completion_tokens},
                                 {"requests_per_second", s.per_second(s.answered)},
                                 {"prompt_tokens_per_second", s.per_second(s.prompt_tokens)},
                                 {"output_tokens_per_second", s.per_second(s.completion_tokens)}};
  if (has_level(report.level)) {
    json["good"] = s.good;
    json["goodput_per_second"] = s.per_second(s.good);
  }
  for (const Row& row : rows(s)) json[row.key] = percentiles_json(row.values);
  json["lateness_ms"] = percentiles_json(s.lateness);
  json["generator_core_share"] = s.cpu_share;
  json["errors"] = s.errors;
  json["breaches"] = s.breaches;
  json["requests"] = nlohmann::ordered_json::array();
  for (const RequestRecord& record : report.run.records) {
    json["requests"].push_back(request_json(record));
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lotse
