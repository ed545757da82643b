// What one rendering may spend. Everything that a template can make large asks here first, so that
// hostile templates and contexts end with an error soon and with little memory.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/result.h"
#include "chat_template/chat_template.h"

namespace lotse::jinja {

class Budget {
 public:
  explicit Budget(const RenderLimits& limits);

  // Spends `count` ≥ 0 steps: nodes evaluated, items visited, or blocks of 16 bytes scanned.
  Result<void> step(int64_t count = 1);
  Result<void> scan(size_t bytes) { return step(1 + static_cast<int64_t>(bytes / 16)); }
  // Announces `bytes` ≥ 0 of a value that are about to be made: at most the output limit at once,
  // and at most kTotalFactor times that in all.
  Result<void> grow(int64_t bytes);
  Result<void> check_output(size_t bytes) const;
  Result<void> grow_items(size_t count) { return grow(static_cast<int64_t>(count) * 32); }

  // Counts nesting of evaluation; leave() must follow every successful enter().
  Result<void> enter();
  void leave() { --depth_; }

 private:
  static constexpr int64_t kTotalFactor = 16;

  RenderLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  int64_t steps_ = 0;
  int64_t next_clock_check_ = 0;
  int64_t bytes_ = 0;
  int depth_ = 0;
};

// Leaves on destruction; made only after a successful enter().
class DepthScope {
 public:
  explicit DepthScope(Budget& budget) : budget_(budget) {}
  ~DepthScope() { budget_.leave(); }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;

 private:
  Budget& budget_;
};

}  // namespace lotse::jinja
