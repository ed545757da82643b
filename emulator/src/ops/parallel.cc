#include "ops/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

namespace lotse::emulator {
namespace {

constexpr int64_t kMostThreads = 16;

struct Job {
  const std::function<void(int64_t, int64_t)>* body;
  int64_t count, grain, chunks;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable condition;
  int64_t done = 0;
  std::exception_ptr error;

  // Takes chunks until none is left.
  void take_part() {
    for (int64_t chunk = next++; chunk < chunks; chunk = next++) {
      std::exception_ptr thrown;
      try {
        (*body)(chunk* grain, std::min(count, (chunk + 1) * grain));
      } catch (...) {
        thrown = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      if (thrown) error = thrown;
      if (++done == chunks) condition.notify_all();
    }
  }

  void wait() {
    std::unique_lock lock(mutex);
    condition.wait(lock, [this] { return done == chunks; });
    if (error) std::rethrow_exception(error);
  }
};

class Pool {
 public:
  Pool() {
    const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
    helpers_ = std::clamp<int64_t>(cores, 1, kMostThreads) - 1;
    for (int64_t i = 0; i < helpers_; ++i) std::thread([this] { help(); }).detach();
  }

  int64_t threads() const { return helpers_ + 1; }

  void offer(const std::shared_ptr<Job>& job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(job);
    }
    condition_.notify_all();
  }

  void withdraw(const std::shared_ptr<Job>& job) {
    const std::lock_guard lock(mutex_);
    std::erase(jobs_, job);
  }

 private:
  void help() {
    while (true) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        condition_.wait(lock, [this] { return !jobs_.empty(); });
        job = jobs_.front();
      }
      job->take_part();
      withdraw(job);
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<std::shared_ptr<Job>> jobs_;
  int64_t helpers_ = 0;
};

// Never destroyed: its threads live as long as the process.
Pool& pool() {
  static auto& instance = *new Pool;
  return instance;
}

}  // namespace

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  // Four chunks a thread even out their lengths.
  const int64_t fair = (count + 4 * pool().threads() - 1) / (4 * pool().threads());
  grain = std::max({grain, fair, int64_t{1}});
  if (grain >= count || pool().threads() == 1) return body(0, count);
  const auto job = std::make_shared<Job>();
  job->body = &body;
  job->count = count;
  job->grain = grain;
  job->chunks = (count + grain - 1) / grain;
  pool().offer(job);
  job->take_part();
  pool().withdraw(job);
  job->wait();
}

}  // namespace lotse::emulator
