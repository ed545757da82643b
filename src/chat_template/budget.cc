#include "chat_template/budget.h"

namespace lotse::jinja {
namespace {

constexpr int64_t kStepsBetweenClockChecks = 2048;

}  // namespace

Budget::Budget(const RenderLimits& limits)
    : limits_(limits), deadline_(std::chrono::steady_clock::now() + limits.max_time) {}

Result<void> Budget::step(int64_t count) {
  steps_ += count;
  if (steps_ > limits_.max_steps) {
    return fail(ErrorCode::limit, "takes more than {} steps", limits_.max_steps);
  }
  if (steps_ < next_clock_check_) return {};
  next_clock_check_ = steps_ + kStepsBetweenClockChecks;
  if (std::chrono::steady_clock::now() > deadline_) {
    return fail(ErrorCode::limit, "takes longer than {} ms", limits_.max_time.count());
  }
  return {};
}

Result<void> Budget::grow(int64_t bytes) {
  if (bytes > limits_.max_output_bytes) {
    return fail(ErrorCode::limit, "makes a value of more than {} bytes", limits_.max_output_bytes);
  }
  bytes_ += bytes;
  if (bytes_ / kTotalFactor > limits_.max_output_bytes) {
    return fail(ErrorCode::limit, "makes values of more than {} bytes together",
                limits_.max_output_bytes * kTotalFactor);
  }
  return step(1 + bytes / 64);
}

Result<void> Budget::check_output(size_t bytes) const {
  if (bytes <= static_cast<size_t>(limits_.max_output_bytes)) return {};
  return fail(ErrorCode::limit, "prints more than {} bytes", limits_.max_output_bytes);
}

Result<void> Budget::enter() {
  if (depth_ >= limits_.max_depth) {
    return fail(ErrorCode::limit, "is nested or recurses deeper than {} levels", limits_.max_depth);
  }
  ++depth_;
  return {};
}

}  // namespace lotse::jinja
