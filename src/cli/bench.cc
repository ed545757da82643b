// lotse bench: what this machine can do, and how much of it a model gets.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "base/json.h"
#include "base/thread_pool.h"
#include "cli/bench_serve.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/kv_option.h"
#include "cli/placement_options.h"
#include "device/cpu/limits.h"
#include "engine/engine.h"

namespace lotse::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct BenchOptions {
  std::string model;
  int64_t prompt = 512;
  int64_t gen = 64;
  int64_t batch = 1;
  int64_t depth = 0;
  int64_t repeat = 3;
  EngineOptions engine;
  bool memory = false;
  bool peak = false;
  bool json = false;
};

// One measured figure. `limit` is the machine's own for it, 0 when there is none.
struct Figure {
  std::string name;
  double value;
  std::string unit;
  double limit;
  double ratio() const { return limit > 0 ? value / limit : 0; }
};

int thread_count(const BenchOptions& options) {
  return options.engine.threads > 0 ? options.engine.threads : available_cores();
}

void print(const std::vector<Figure>& figures, bool json) {
  if (json) {
    Json list = Json::array();
    for (const Figure& f : figures) {
      list.push_back({{"name", f.name},
                      {"value", f.value},
                      {"unit", f.unit},
                      {"limit", f.limit > 0 ? Json(f.limit) : Json()},
                      {"ratio", f.limit > 0 ? Json(f.ratio()) : Json()}});
    }
    fmt::print("{}\n", list.dump(2));
    return;
  }
  for (const Figure& f : figures) {
    fmt::print("{:<36} {:>12.1f} {:<8}", f.name, f.value, f.unit);
    if (f.limit > 0) fmt::print(" of {:>9.1f}  {:>5.1f}%", f.limit, 100 * f.ratio());
    fmt::print("\n");
  }
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

std::vector<int32_t> some_tokens(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>((i * 7919 + 17) % vocabulary));
  }
  return tokens;
}

// Wall time; on an emulated device what its own clock predicts, since the emulator's speed says
// nothing about the device.
class Stopwatch {
 public:
  explicit Stopwatch(Engine& engine)
      : engine_(engine),
        is_emulated_(engine.device().is_emulated()),
        device_start_(engine.executable().device_seconds()) {}
  double seconds() const {
    if (is_emulated_) return engine_.executable().device_seconds() - device_start_;
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  Engine& engine_;
  bool is_emulated_;
  double device_start_;
  Clock::time_point start_ = Clock::now();
};

std::string labelled(const Engine& engine, std::string name) {
  return engine.device().is_emulated() ? "predicted: " + name : name;
}

// Several sequences decoded in step, each with its own blocks of the cache.
class BatchDecoder {
 public:
  BatchDecoder(Engine& engine, int64_t batch, int64_t depth) : engine_(engine) {
    const int64_t block_tokens = engine.limits().block_tokens;
    const int64_t blocks = engine.limits().cache_blocks / batch;
    for (int64_t s = 0; s < batch; ++s) {
      std::vector<int32_t>& table = blocks_.emplace_back();
      for (int64_t b = 0; b < blocks; ++b) table.push_back(static_cast<int32_t>(s * blocks + b));
      rows_.push_back(static_cast<int32_t>(s));
    }
    context_ = static_cast<int32_t>(std::min(depth, blocks * block_tokens - 1));
    tokens_ = some_tokens(batch, engine.config().vocabulary);
  }

  Result<void> step() {
    ++context_;
    std::vector<BatchSequence> sequences;
    const std::vector<int32_t> positions(tokens_.size(), context_ - 1);
    for (size_t s = 0; s < tokens_.size(); ++s) {
      sequences.push_back({static_cast<int32_t>(s), 1, context_, blocks_[s]});
    }
    LOTSE_TRY(engine_.executable().run({tokens_, positions, sequences, rows_}));
    return {};
  }

 private:
  Engine& engine_;
  std::vector<std::vector<int32_t>> blocks_;
  std::vector<int32_t> rows_;
  std::vector<int32_t> tokens_;
  int32_t context_ = 0;
};

// Bytes that one decode step of `batch` sequences at `depth` must read: every weight but the
// embedding table once, and the keys and values of each sequence.
double decode_bytes(const Engine& engine, int64_t batch, int64_t depth) {
  double bytes = static_cast<double>(engine.streamed_weight_bytes());
  const DType type = engine.limits().cache_type;
  for (const CacheLayer& layer : engine.model().program.cache_layers) {
    const int64_t visible = layer.window > 0 ? std::min(layer.window, depth) : depth;
    const int64_t scale = type == DType::i8 ? 4 : 0;
    const int64_t head = layer.head_dim * info(type).block_bytes + scale;
    bytes += static_cast<double>(batch * visible * 2 * layer.kv_heads * head);
  }
  return bytes;
}

Result<Figure> bench_prefill(Engine& engine, const BenchOptions& options) {
  const auto tokens = some_tokens(options.prompt, engine.config().vocabulary);
  std::vector<double> rates;
  for (int64_t i = 0; i < options.repeat; ++i) {
    const auto session = engine.make_session();
    const Stopwatch watch(engine);
    LOTSE_TRY(session->append(tokens));
    rates.push_back(static_cast<double>(options.prompt) / watch.seconds());
  }
  return Figure{labelled(engine, fmt::format("prefill {}", options.prompt)), median(rates), "tok/s",
                0};
}

Result<std::vector<Figure>> bench_decode(Engine& engine, const BenchOptions& options) {
  const cpu::KernelTable& kernels = *LOTSE_TRY(cpu::choose_kernels());
  std::vector<double> rates;
  std::vector<double> limits;
  for (int64_t i = 0; i < options.repeat; ++i) {
    // This machine's memory limits no emulated device.
    limits.push_back(engine.device().is_emulated()
                         ? 0
                         : LOTSE_TRY(cpu::measure_read_bandwidth(kernels, thread_count(options))) /
                               1e9);
    BatchDecoder decoder(engine, options.batch, options.depth);
    LOTSE_TRY(decoder.step());
    const Stopwatch watch(engine);
    for (int64_t n = 0; n < options.gen; ++n) LOTSE_TRY(decoder.step());
    rates.push_back(static_cast<double>(options.gen) / watch.seconds());
  }
  const double steps = median(rates);
  const double bytes = decode_bytes(engine, options.batch, options.depth + options.gen / 2);
  const std::string label =
      labelled(engine, fmt::format("decode batch {} depth {}", options.batch, options.depth));
  return std::vector<Figure>{{label, steps * static_cast<double>(options.batch), "tok/s",
                              median(limits) * 1e9 / bytes * static_cast<double>(options.batch)},
                             {label + " memory", steps * bytes / 1e9, "GB/s", median(limits)}};
}

Result<std::vector<Figure>> machine_limits(const BenchOptions& options) {
  const int threads = thread_count(options);
  const cpu::KernelTable& kernels = *LOTSE_TRY(cpu::choose_kernels());
  std::vector<Figure> figures;
  if (options.memory) {
    const double read = LOTSE_TRY(cpu::measure_read_bandwidth(kernels, threads));
    figures.push_back({fmt::format("memory read, {} threads", threads), read / 1e9, "GB/s", 0});
  }
  if (options.peak) {
    const cpu::PeakRates peak = cpu::measure_peaks(kernels, threads);
    const auto add = [&](const char* unit, double rate, const char* shown) {
      figures.push_back(
          {fmt::format("{} multiply-add, {} threads", unit, threads), rate / 1e9, shown, 0});
    };
    add("f32", peak.f32, "GFLOP/s");
    add("bf16", peak.bf16, "GFLOP/s");
    add("int8", peak.int8, "GOP/s");
  }
  return figures;
}

// Nothing where the device does not tell.
std::string describe_steps(const Executable::Steps& steps) {
  if (steps.all == 0) return "";
  const std::string counts =
      fmt::format("{} of {} steps replayed a captured graph", steps.replayed, steps.all);
  return steps.why_not.empty() ? counts : fmt::format("{}: {}", counts, steps.why_not);
}

Result<int> bench(BenchOptions options) {
  std::vector<Figure> figures = LOTSE_TRY(machine_limits(options));
  std::optional<std::string> engine_note;
  std::string step_note;
  if (!options.model.empty()) {
    const int64_t each = options.depth + options.gen + 2;
    options.engine.context = std::max(options.prompt, each * options.batch) + 128 * options.batch;
    options.engine.max_outputs = std::max<int64_t>(options.batch, 1);
    options.engine.max_sequences = options.batch;
    const auto engine =
        LOTSE_TRY(Engine::open(LOTSE_TRY(find_model(options.model)), options.engine));
    if (engine->device().is_emulated()) {
      engine_note = fmt::format("{} is {}", options.engine.device, engine->device().description());
    }
    if (options.prompt > 0) figures.push_back(LOTSE_TRY(bench_prefill(*engine, options)));
    if (options.gen > 0) {
      for (Figure& f : LOTSE_TRY(bench_decode(*engine, options))) figures.push_back(std::move(f));
    }
    step_note = describe_steps(engine->executable().steps());
  }
  print(figures, options.json);
  if (engine_note) fmt::print(stderr, "{}\n", *engine_note);
  if (!step_note.empty()) fmt::print(stderr, "{}\n", step_note);
  return kOk;
}

}  // namespace

void add_bench(Commands& commands) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* app =
      commands.add("bench", "Measure the machine's limits, a model's speed, or a server under load",
                   "  lotse bench --memory --peak\n"
                   "  lotse bench MODEL --prompt 512 --gen 64\n"
                   "  lotse bench MODEL --batch 8 --depth 4096 --json\n"
                   "  lotse bench --serve http://127.0.0.1:8000 --rate 4 --html load.html\n");
  CLI::Option* model =
      app->add_option("MODEL", options->model, "Path, name in the models directory, or ORG/MODEL");
  const auto count = [&](const char* flag, int64_t& value, const char* help, int64_t low) {
    app->add_option(flag, value, help)
        ->check(CLI::Range(low, int64_t{1} << 20))
        ->capture_default_str();
  };
  count("--prompt", options->prompt, "Tokens of the prefill; 0: none", 0);
  count("--gen", options->gen, "Decode steps; 0: none", 0);
  count("--batch", options->batch, "Sequences decoded together", 1);
  count("--depth", options->depth, "Tokens in the cache before decoding (synthetic)", 0);
  count("--repeat", options->repeat, "Runs, of which the median counts", 1);
  add_kv_dtype(*app, options->engine.cache_type);
  add_placement(*app, options->engine);
  app->add_flag("--memory", options->memory,
                "Measure memory bandwidth, by the fastest reader known");
  app->add_flag("--peak", options->peak, "Measure peak arithmetic of each unit");
  app->add_flag("--json", options->json,
                "Print a list of {name, value, unit, limit, ratio}; of a server, one object");
  const auto load = add_bench_serve_options(*app);
  app->callback([&commands, options, load, model] {
    if (is_given(*load)) {
      if (!model->empty() || options->memory || options->peak) {
        throw CLI::ValidationError("--serve",
                                   "measures a server alone; --server-model names one "
                                   "of its models");
      }
      commands.action = [options, load] { return bench_serve(*load, options->json); };
      return;
    }
    if (model->empty() && !options->memory && !options->peak) {
      throw CLI::RequiredError("MODEL, --memory, --peak or --serve");
    }
    commands.action = [options] { return bench(*options); };
  });
}

}  // namespace lotse::cli
