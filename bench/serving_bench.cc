// How many streams one engine serves, and what its own work costs beside the model's.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <vector>

#include "engine/serving_engine.h"

namespace {

using namespace lotse;

constexpr int64_t kPrompt = 16;
constexpr int kRuns = 3;

struct Options {
  std::string model;
  int64_t tokens = 48;
  int threads = 0;
};

class Listener final : public RequestSink {
 public:
  explicit Listener(std::latch& ended) : ended_(ended) {}
  bool on_token(const GeneratedToken&) override { return true; }
  void on_end(const RequestOutcome&) override { ended_.count_down(); }

 private:
  std::latch& ended_;
};

struct Figures {
  double tokens_per_second;
  double overhead;  // share of the steps that the device did not compute
};

// `streams` requests that begin together.
Figures run(ServingEngine& engine, int64_t streams, int64_t tokens) {
  const ServingStats before = engine.stats();
  std::latch ended(streams);
  for (int64_t i = 0; i < streams; ++i) {
    GenerationRequest request;
    for (int64_t k = 0; k < kPrompt; ++k) {
      request.prompt.push_back(static_cast<int32_t>(1 + (i * kPrompt + k) % 1000));
    }
    request.max_tokens = tokens;
    request.ignore_eos = true;
    engine.submit(std::move(request), std::make_shared<Listener>(ended)).value();
  }
  ended.wait();
  ServingStats after = engine.stats();
  while (after.running > 0) after = engine.stats();  // the last step's figures
  const double seconds = after.step_seconds - before.step_seconds;
  const double executing = after.executing_seconds - before.executing_seconds;
  return {static_cast<double>(streams * tokens) / seconds, 1 - executing / seconds};
}

Figures median(ServingEngine& engine, int64_t streams, int64_t tokens) {
  std::vector<Figures> runs;
  for (int i = 0; i < kRuns; ++i) runs.push_back(run(engine, streams, tokens));
  std::ranges::sort(runs, {}, &Figures::tokens_per_second);
  return runs[kRuns / 2];
}

int measure(const Options& options) {
  EngineOptions engine_options;
  engine_options.threads = options.threads;
  engine_options.context = 1024;
  engine_options.max_sequences = 16;
  auto opened = Engine::open(options.model, engine_options);
  if (!opened) {
    fmt::print(stderr, "{}\n", opened.error().message);
    return 1;
  }
  const auto engine = ServingEngine::start(std::move(*opened), {});
  run(*engine, 16, 4);  // pages and caches
  double alone = 0;
  fmt::print("{:>8} {:>12} {:>10} {:>12}\n", "streams", "tokens/s", "of one", "own work");
  for (const int64_t streams : {1, 2, 4, 8, 16}) {
    const Figures figures = median(*engine, streams, options.tokens);
    if (streams == 1) alone = figures.tokens_per_second;
    fmt::print("{:>8} {:>12.1f} {:>9.2f}x {:>11.2f}%\n", streams, figures.tokens_per_second,
               figures.tokens_per_second / alone, 100 * figures.overhead);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--tokens" && i + 1 < argc) {
      options.tokens = std::atoll(argv[++i]);
    } else if (argument == "--threads" && i + 1 < argc) {
      options.threads = std::atoi(argv[++i]);
    } else {
      options.model = argument;
    }
  }
  if (options.model.empty() || options.tokens < 1) {
    fmt::print(stderr, "usage: serving_bench MODEL [--tokens N] [--threads N]\n");
    return 2;
  }
  return measure(options);
}
