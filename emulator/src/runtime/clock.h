// Virtual time, in microseconds since the process began. The host's clock is a thread's own: each
// call of the runtime costs a little, and waiting moves it to the time waited for. A stream's time
// is computed when a task is enqueued, so predictions do not depend on this CPU's speed.
#pragma once

#include <cstdint>

#include "runtime/api.h"

namespace lotse::emulator {

LOTSE_EMULATOR_API double host_time() noexcept;
// Calls of the C interface so far, by all threads.
uint64_t host_calls() noexcept;
LOTSE_EMULATOR_API void advance_host(double microseconds) noexcept;
LOTSE_EMULATOR_API void host_waits_until(double time) noexcept;

}  // namespace lotse::emulator
