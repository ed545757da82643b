// A small pool for fork-join work inside operators: workers spin briefly for the next piece of
// work, then park, so that a decode loop pays no futex and an idle process burns no core.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace lotse {

class ThreadPool {
 public:
  // `threads` counts the caller too: 1 means no worker at all.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(thread) once for every thread index in [0, size()), the caller being 0, and returns
  // when all have returned. Allocates nothing. One caller at a time; not reentrant; `body` must not
  // throw.
  template <class Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    dispatch([](void* context, int thread) { (*static_cast<Plain*>(context))(thread); }, &body);
  }

  // Splits [0, count) into size() contiguous ranges whose lengths are multiples of `grain` (the
  // last may be shorter) and calls body(begin, end) for each. The split depends only on count,
  // grain and size().
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    const int64_t pieces = (count + grain - 1) / grain;
    if (pieces <= 1 || size() == 1) {
      if (count > 0) body(int64_t{0}, count);
      return;
    }
    run([&](int thread) {
      const int64_t begin = pieces * thread / size() * grain;
      const int64_t end = pieces * (thread + 1) / size() * grain;
      const int64_t clipped = end < count ? end : count;
      if (begin < clipped) body(begin, clipped);
    });
  }

 private:
  using Function = void (*)(void*, int);

  void dispatch(Function function, void* context);
  void work(int thread);
  uint64_t wait_for_work(uint64_t seen);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
  Function function_ = nullptr;
  void* context_ = nullptr;
};

// Cores this process may run on (its affinity mask), at least 1.
int available_cores();

}  // namespace lotse
