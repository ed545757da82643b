#include "device/cpu/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/checked.h"
#include "base/thread_pool.h"
#include "device/cpu/huge_buffer.h"

namespace lotse::cpu {
namespace {

constexpr int64_t kPage = 4096;
constexpr auto kPeakTime = std::chrono::milliseconds(60);

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Operations a second of `peak` on all threads of the pool together.
double measure_peak(ThreadPool& pool, double (*peak)(int64_t, float*)) {
  constexpr int64_t kRounds = 20000;
  std::atomic<double> rate = 0;
  pool.run([&](int) {
    float sink = 0;
    peak(kRounds, &sink);  // leaves the first rounds, at a lower clock, out of the count
    const auto start = std::chrono::steady_clock::now();
    double operations = 0;
    while (std::chrono::steady_clock::now() - start < kPeakTime) operations += peak(kRounds, &sink);
    rate.fetch_add(operations / seconds_since(start));
  });
  return rate;
}

}  // namespace

Result<double> measure_read_bandwidth(const KernelTable& kernels, int threads, int64_t bytes,
                                      int rounds) {
  const int64_t share = round_up(ceil_div(bytes, threads), kPage);
  const HugeBuffer buffer =
      LOTSE_TRY(HugeBuffer::allocate(share * threads, "the bandwidth measurement"));
  ThreadPool pool(threads);
  // Written once by the thread that reads it, so that pages exist and lie near it.
  pool.run([&](int thread) {
    std::fill_n(buffer.data() + thread * share, share, static_cast<std::byte>(thread + 1));
  });
  std::atomic<uint64_t> sum = 0;
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int thread) { sum += kernels.read(buffer.data() + thread * share, share); });
    best = std::max(best, static_cast<double>(share * threads) / seconds_since(start));
  }
  return best;
}

PeakRates measure_peaks(const KernelTable& kernels, int threads) {
  ThreadPool pool(threads);
  return {measure_peak(pool, kernels.peak_f32), measure_peak(pool, kernels.peak_bf16),
          measure_peak(pool, kernels.peak_int8)};
}

}  // namespace lotse::cpu
