// The cpu device: the fastest kernels that this processor runs, on a pool of threads.
#pragma once

#include <memory>

#include "device/collective/group.h"
#include "device/device.h"

namespace lotse {

// `threads` 0 means one for each core this process may use. Fails when the environment variable
// LOTSE_ISA names an instruction set that is unknown or does not run here. All executables of one
// device share its threads: one caller at a time among them. `group`, which outlives the device, is
// needed for programs with collectives only.
Result<std::unique_ptr<Device>> make_cpu_device(int threads, Group* group = nullptr);

}  // namespace lotse
