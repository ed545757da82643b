// A thread for what is too slow for the I/O thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace lotse {

// Runs functions one after the other. Its destructor stops it.
class Worker {
 public:
  Worker() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

  // Waits for the function that runs; the others never will. Not from the thread itself.
  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

  void push(std::function<void()> function) {
    const std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(function));
    wake_.notify_one();
  }

 private:
  void run(const std::stop_token& stop) {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
      if (stop.stop_requested()) return;
      const auto function = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      function();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::function<void()>> queue_;
  std::jthread thread_;  // last: it uses everything above
};

}  // namespace lotse
