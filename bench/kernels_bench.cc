// Linears of the cpu device at the shapes of a model of 1.2 billion parameters: decode against the
// memory bandwidth and prefill against the peak that are measured in the same run.
//
//   kernels_bench [--threads N] [--rows 1,512] [--formats bf16,w8a8,…] [--gib 1.0] [--rounds 5]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <random>

#include "base/thread_pool.h"
#include "device/cpu/limits.h"
#include "device/cpu/linear.h"
#include "device/cpu/packed_weight.h"

namespace lotse::cpu {
namespace {

// Far more than any last-level cache in use.
constexpr int64_t kProbeBytes = int64_t{512} << 20;

struct Options {
  int threads = available_cores();
  std::vector<int64_t> rows = {1, 8, 512};
  std::vector<std::string> formats = {"bf16", "w8a8", "w4a16", "w4a8"};
  double gib = 1.0;
  int rounds = 5;
};

// Output and input features of the linears of one layer: qkv, o, gate and up, down.
constexpr std::pair<int64_t, int64_t> kLayer[] = {
    {3072, 2048}, {2048, 2048}, {16384, 2048}, {2048, 8192}};

WeightPart random_part(WeightFormat format, int64_t rows, int64_t columns) {
  std::mt19937 random(7);
  constexpr int64_t kGroup = 128;
  const Shape shape{rows, columns};
  const auto count = static_cast<size_t>(rows * columns);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  const std::vector<float> scales(static_cast<size_t>(rows * (columns / kGroup)), 0.01f);
  switch (format) {
    case WeightFormat::w8a8:
      return {
          format, rows, columns, make_tensor(DType::i8, shape, std::move(bytes)),
          make_tensor(DType::f32, {rows}, std::vector<float>(static_cast<size_t>(rows), 0.01f))};
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      bytes.resize(count / 2);
      return {format,
              rows,
              columns,
              make_tensor(DType::i4, shape, std::move(bytes)),
              make_tensor(DType::f32, {rows, columns / kGroup}, scales),
              kGroup};
    case WeightFormat::f32:
      return {format,
              rows,
              columns,
              make_tensor(DType::f32, shape, std::vector<float>(count, 0.01f)),
              {}};
    default: {
      std::vector<uint16_t> halves(count);
      for (uint16_t& h : halves) h = static_cast<uint16_t>(0x3c00 | (random() & 0x83ff));
      const DType type = format == WeightFormat::f16 ? DType::f16 : DType::bf16;
      return {format, rows, columns, make_tensor(type, shape, std::move(halves)), {}};
    }
  }
}

struct Model {
  std::vector<std::vector<PackedWeight>> layers;
  int64_t bytes = 0;
  double multiply_adds = 0;  // for one row
};

Model make_model(WeightFormat format, const Options& options, const KernelTable& kernels,
                 ThreadPool& pool) {
  Model model;
  std::vector<Weight> weights;
  for (const auto& [rows, columns] : kLayer) {
    weights.push_back({{random_part(format, rows, columns)}});
  }
  while (static_cast<double>(model.bytes) < options.gib * 1073741824.0) {
    auto& layer = model.layers.emplace_back();
    for (const Weight& weight : weights) {
      layer.push_back(std::move(*pack(weight, 1, "bench", kernels, pool)));
      model.bytes += layer.back().storage.size();
      model.multiply_adds += static_cast<double>(weight.parts[0].rows * weight.parts[0].columns);
    }
  }
  return model;
}

// Seconds of a pass over all layers with `rows` rows: of every linear the best time counts, so that
// another process's moments do not.
double time_pass(const Model& model, int64_t rows, const Options& options,
                 const KernelTable& kernels, ThreadPool& pool) {
  const auto scratch = LinearScratch::allocate(rows, 8192, pool.size());
  std::vector<float> x(static_cast<size_t>(rows * 8192), 0.0f);
  std::mt19937 random(9);
  for (float& v : x) v = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  std::vector<float> y(static_cast<size_t>(rows * 16384));
  std::vector<double> best(model.layers.size() * std::size(kLayer), 1e30);
  for (int round = 0; round < options.rounds; ++round) {
    size_t i = 0;
    for (const auto& layer : model.layers) {
      for (const PackedWeight& weight : layer) {
        const PackedPart& part = weight.experts[0][0];
        const auto start = std::chrono::steady_clock::now();
        linear(kernels, pool, *scratch, weight.experts[0], x.data(), part.columns, rows, nullptr,
               y.data(), part.rows);
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        best[i] = std::min(best[i], time.count());
        ++i;
      }
    }
  }
  return std::accumulate(best.begin(), best.end(), 0.0);
}

double peak_of(WeightFormat format, const PeakRates& peaks) {
  switch (format) {
    case WeightFormat::w8a8:
    case WeightFormat::w4a8:
      return peaks.int8;
    case WeightFormat::bf16:
    case WeightFormat::w4a16:
      return peaks.bf16;
    default:
      return peaks.f32;
  }
}

WeightFormat format_of(const std::string& text) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16,
                                    WeightFormat::w8a8, WeightFormat::w4a16, WeightFormat::w4a8}) {
    if (name(format) == text) return format;
  }
  fmt::print(stderr, "no weight format named \"{}\"\n", text);
  std::exit(2);
}

void run(const Options& options) {
  const auto chosen = choose_kernels();
  if (!chosen) {
    fmt::print(stderr, "{}\n", chosen.error().message);
    std::exit(2);
  }
  const KernelTable& kernels = **chosen;
  ThreadPool pool(options.threads);
  const PeakRates peaks = measure_peaks(kernels, options.threads);
  fmt::print("{}, {} threads: f32 {:.0f}, bf16 {:.0f} GFLOP/s, int8 {:.0f} GOP/s\n",
             kernels.description, options.threads, peaks.f32 / 1e9, peaks.bf16 / 1e9,
             peaks.int8 / 1e9);
  fmt::print("{:<7}{:>6}{:>11}{:>10}{:>10}{:>12}{:>10}{:>9}\n", "format", "rows", "ms a pass",
             "GB/s", "limit", "GOP/s", "peak", "share");
  for (const std::string& text : options.formats) {
    const WeightFormat format = format_of(text);
    const Model model = make_model(format, options, kernels, pool);
    for (const int64_t rows : options.rows) {
      // Before and after, because the limit of a shared machine drifts by the minute.
      const auto before =
          measure_read_bandwidth(kernels, options.threads, kProbeBytes, options.rounds);
      const double seconds = time_pass(model, rows, options, kernels, pool);
      const auto after =
          measure_read_bandwidth(kernels, options.threads, kProbeBytes, options.rounds);
      const double bandwidth = std::max(before.value_or(0), after.value_or(0));
      const double operations = 2 * model.multiply_adds * static_cast<double>(rows);
      const auto bytes = static_cast<double>(model.bytes);
      const double bound = std::max(bytes / bandwidth, operations / peak_of(format, peaks));
      fmt::print("{:<7}{:>6}{:>11.2f}{:>10.1f}{:>10.1f}{:>12.1f}{:>10.1f}{:>8.0f}%\n", text, rows,
                 seconds * 1e3, bytes / seconds / 1e9, bandwidth / 1e9, operations / seconds / 1e9,
                 peak_of(format, peaks) / 1e9, 100 * bound / seconds);
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace lotse::cpu

int main(int argc, char** argv) {
  lotse::cpu::Options options;
  CLI::App app("Linears of the cpu device against the machine's limits");
  app.add_option("--threads", options.threads, "threads (default: one a core)");
  app.add_option("--rows", options.rows, "rows of activations")->delimiter(',');
  app.add_option("--formats", options.formats, "weight formats")->delimiter(',');
  app.add_option("--gib", options.gib, "weights to stream, GiB");
  app.add_option("--rounds", options.rounds, "passes, of which the best counts");
  CLI11_PARSE(app, argc, argv);
  lotse::cpu::run(options);
  return 0;
}
