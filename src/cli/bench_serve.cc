#include "cli/bench_serve.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <cstdlib>

#include "base/atomic_file.h"
#include "base/mmap.h"
#include "base/progress.h"
#include "load/report.h"

namespace lotse::cli {

struct BenchServeOptions {
  LoadOptions load;
  std::string api_key_file, trace, input, output, html;
  double rate = 0;
  double speed = 1, length_scale = 1;
  int64_t requests = 100;
  std::optional<int64_t> concurrency;
  bool stop_at_eos = false;
  ServiceLevel level;
};

namespace {

constexpr int64_t kMaxKeyBytes = 4096;
constexpr int64_t kUsers = 8;

// Never an argument: those are seen by every user of the machine.
Result<std::string> read_key(const std::string& file) {
  if (file.empty()) {
    const char* key = std::getenv("LOTSE_BENCH_API_KEY");
    return std::string(key == nullptr ? "" : key);
  }
  const std::string text = LOTSE_TRY(read_text_file(file, kMaxKeyBytes));
  const std::string key = text.substr(0, text.find_first_of("\r\n"));
  if (key.empty() || key.find_first_of(" \t") != std::string::npos) {
    return fail(ErrorCode::invalid_input, "{}: expected an API key on the first line", file);
  }
  return key;
}

std::string describe(const BenchServeOptions& o, int64_t requests) {
  std::string text = fmt::format("{} requests", requests);
  const auto lengths = [](const std::string& given) {
    return given.empty() ? "as in conversations" : given + " tokens";
  };
  text += o.trace.empty()
              ? fmt::format(", prompts {}, answers {}", lengths(o.input), lengths(o.output))
              : fmt::format(" of {}", std::filesystem::path(o.trace).filename().string());
  if (o.length_scale != 1) text += fmt::format(", lengths × {}", o.length_scale);
  if (o.load.is_closed) return text + fmt::format(", {} users", o.load.concurrency);
  text += o.rate > 0 ? fmt::format(", {}/s at random (Poisson)", o.rate)
                     : fmt::format(", at the trace's times, {} × as fast", o.speed);
  return o.load.concurrency > 0 ? text + fmt::format(", at most {} at once", o.load.concurrency)
                                : text;
}

Result<Workload> make_workload(const BenchServeOptions& o) {
  Workload workload;
  if (!o.trace.empty()) {
    workload = LOTSE_TRY(read_trace(o.trace, o.requests));
    speed_up(workload, o.speed);
  } else {
    SyntheticOptions synthetic{o.requests, std::nullopt, std::nullopt, o.load.seed};
    if (!o.input.empty()) synthetic.input = LOTSE_TRY(parse_length_range(o.input));
    if (!o.output.empty()) synthetic.output = LOTSE_TRY(parse_length_range(o.output));
    workload = synthetic_workload(synthetic);
  }
  scale_lengths(workload, o.length_scale);
  if (o.rate > 0) arrive_at_random(workload, o.rate, o.load.seed);
  return workload;
}

// Each request that is under way has a connection.
void raise_descriptor_limit_for_load() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<LoadRun> run_with_progress(const LoadOptions& options, Workload workload) {
  Progress bar("asking", std::ssize(workload));
  return run_load(options, std::move(workload), [&bar](const LoadProgress& p) {
    bar.update(p.ended, fmt::format("{} under way, {} failed", p.in_flight, p.failed));
  });
}

}  // namespace

bool is_given(const BenchServeOptions& options) { return !options.load.url.empty(); }

Result<int> bench_serve(const BenchServeOptions& given, bool as_json) {
  BenchServeOptions o = given;
  o.load.api_key = LOTSE_TRY(read_key(o.api_key_file));
  o.load.ignore_eos = !o.stop_at_eos;
  // A trace has its own times, unless users are asked for.
  o.load.is_closed = o.rate == 0 && (o.trace.empty() || o.concurrency.has_value());
  o.load.concurrency = o.concurrency.value_or(o.load.is_closed ? kUsers : 0);
  Workload workload = LOTSE_TRY(make_workload(o));
  raise_descriptor_limit_for_load();
  const std::string words = describe(o, std::ssize(workload));
  const LoadRun run = LOTSE_TRY(run_with_progress(o.load, std::move(workload)));
  const LoadReport report{words, o.level, run, summarise(run, o.level)};
  fmt::print("{}", as_json ? load_json(report) : load_text(report));
  if (!o.html.empty()) {
    AtomicFile file = LOTSE_TRY(AtomicFile::create(o.html));
    LOTSE_TRY(file.write(load_page(report)));
    LOTSE_TRY(file.commit());
    fmt::print(stderr, "{}: written\n", o.html);
  }
  const bool is_fine = report.summary.answered == report.summary.requests &&
                       report.summary.breaches.empty() && report.summary.requests > 0;
  return is_fine ? kOk : kFailed;
}

std::shared_ptr<BenchServeOptions> add_bench_serve_options(CLI::App& app) {
  auto options = std::make_shared<BenchServeOptions>();
  BenchServeOptions& o = *options;
  auto* group = app.add_option_group("Load on a server");
  CLI::Option* url = group->add_option("--serve", o.load.url,
                                       "URL of an OpenAI-compatible server: put load on it");
  const auto add = [&](const char* name, auto& value, const char* help) {
    return group->add_option(name, value, help)->needs(url);
  };
  add("--requests", o.requests, "How many; of a trace, at most; default 100")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  add("--concurrency", o.concurrency,
      "Users who each ask again when answered, default 8; with --rate, most requests at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16));
  CLI::Option* rate = add("--rate", o.rate, "Requests per second, at random (Poisson)")
                          ->check(CLI::Range(0.001, 1e6));
  CLI::Option* trace =
      add("--trace", o.trace, "Recorded trace: Azure's CSV or Mooncake's JSON Lines");
  add("--input-tokens", o.input, "Of prompts: N or LOW:HIGH; default: as in conversations")
      ->excludes(trace);
  add("--output-tokens", o.output, "Of answers: N or LOW:HIGH; default: as in conversations")
      ->excludes(trace);
  add("--speed", o.speed, "The trace this many times as fast")
      ->check(CLI::Range(1e-3, 1e6))
      ->needs(trace)
      ->excludes(rate);
  add("--length-scale", o.length_scale, "Lengths times this")->check(CLI::Range(1e-4, 1e3));
  group->add_flag("--chat", o.load.is_chat, "Ask /v1/chat/completions, not /v1/completions")
      ->needs(url);
  group->add_flag("--stop-at-eos", o.stop_at_eos, "Let answers end where the model ends them")
      ->needs(url);
  add("--server-model", o.load.model, "Model to ask for; default: the first of the server's");
  add("--api-key-file", o.api_key_file,
      "File with an API key; or its value in LOTSE_BENCH_API_KEY");
  add("--ca-file", o.load.ca_file, "Certificates to trust (PEM)");
  add("--timeout", o.load.timeout_seconds, "Most seconds for an answer; default 600")
      ->check(CLI::Range(0.1, 86400.0));
  add("--warm-up", o.load.warm_up, "Requests before, one by one, that do not count; default 1")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}));
  add("--seed", o.load.seed, "Of lengths, times and prompts");
  add("--ttft-ms", o.level.first_token_ms, "Goodput: most time to the first token")
      ->check(CLI::PositiveNumber);
  add("--tpot-ms", o.level.per_token_ms, "Goodput: most time per token after it")
      ->check(CLI::PositiveNumber);
  add("--html", o.html, "Write a report with plots to this file");
  return options;
}

}  // namespace lotse::cli
