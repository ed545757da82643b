#include "device/cpu/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <vector>

#include "base/checked.h"
#include "base/thread_pool.h"
#include "device/cpu/huge_buffer.h"

namespace lotse::cpu {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kPiece = int64_t{16} << 20;  // of one thread's share
constexpr auto kPeakTime = std::chrono::milliseconds(60);

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Operations a second of `peak` on all threads of the pool together; of every thread the best
// millisecond counts.
double measure_peak(ThreadPool& pool, double (*peak)(int64_t, float*)) {
  constexpr int64_t kRounds = 100000;
  std::atomic<double> rate = 0;
  pool.run([&](int) {
    float sink = 0;
    double best = 0;
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < kPeakTime) {
      const auto start = std::chrono::steady_clock::now();
      const double operations = peak(kRounds, &sink);
      best = std::max(best, operations / seconds_since(start));
    }
    rate.fetch_add(best);
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
  // Of every piece the best time counts, so that another process's moments do not.
  std::atomic<uint64_t> sum = 0;
  std::vector<double> best(static_cast<size_t>(ceil_div(share, kPiece)), 1e30);
  for (int round = 0; round < rounds; ++round) {
    for (size_t piece = 0; piece < best.size(); ++piece) {
      const int64_t begin = static_cast<int64_t>(piece) * kPiece;
      const int64_t size = std::min(kPiece, share - begin);
      const auto start = std::chrono::steady_clock::now();
      pool.run(
          [&](int thread) { sum += kernels.read(buffer.data() + thread * share + begin, size); });
      best[piece] = std::min(best[piece], seconds_since(start));
    }
  }
  return static_cast<double>(share * threads) / std::accumulate(best.begin(), best.end(), 0.0);
}

PeakRates measure_peaks(const KernelTable& kernels, int threads) {
  ThreadPool pool(threads);
  return {measure_peak(pool, kernels.peak_f32), measure_peak(pool, kernels.peak_bf16),
          measure_peak(pool, kernels.peak_int8)};
}

}  // namespace lotse::cpu
