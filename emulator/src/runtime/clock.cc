#include "runtime/clock.h"

#include <algorithm>
#include <atomic>

#include "runtime/error.h"

namespace lotse::emulator {
namespace {

// Assumed: what one call of the runtime costs the host.
constexpr double kCallMicroseconds = 0.5;

std::atomic<double> latest{0};  // a new thread starts here
std::atomic<uint64_t> calls{0};
thread_local double now = latest.load();

void move_to(double time) noexcept {
  now = time;
  double seen = latest.load();
  while (seen < time && !latest.compare_exchange_weak(seen, time)) {
  }
}

}  // namespace

double host_time() noexcept { return now; }
void advance_host(double microseconds) noexcept { move_to(now + microseconds); }
void host_waits_until(double time) noexcept { move_to(std::max(now, time)); }
uint64_t host_calls() noexcept { return calls; }

void charge_call() noexcept {
  ++calls;
  advance_host(kCallMicroseconds);
}

}  // namespace lotse::emulator
