// LOTSE_EMULATOR_TRACE=file.json: a Chrome trace of virtual time, written by aclFinalize and at
// exit. One process a device, one thread a stream, one slice a task with its limiting resource.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/cost.h"

namespace lotse::emulator {

struct Slice {
  std::string name;
  int32_t device = 0;
  int64_t stream = 0;
  double start_us = 0;
  Duration duration;
};

bool tracing();
void trace(Slice slice);
void write_trace();

}  // namespace lotse::emulator
