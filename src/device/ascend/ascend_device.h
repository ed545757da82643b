// Ascend NPUs through AscendCL, or the emulator in their place; which of the two, it always says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/collective/group.h"
#include "device/device.h"

namespace lotse {

struct AscendDeviceInfo {
  int32_t index;
  std::string soc;       // "Ascend910B3"
  std::string emulator;  // the emulator's description; empty for a real device
  std::string folder;    // of the libraries
  int64_t free_bytes;
  int64_t total_bytes;
};

// For people: the SoC, and plainly when it is emulated.
std::string describe(const AscendDeviceInfo& info);

// Errors as for make_ascend_device.
Result<std::vector<AscendDeviceInfo>> list_ascend_devices();

// Device `index`, counted from 0. Errors: not_found without libraries or without that device;
// unsupported when the libraries lack what Lotse calls. `group`, which outlives the device, is
// needed for programs with collectives only; each of its ranks has a device of its own.
Result<std::unique_ptr<Device>> make_ascend_device(int32_t index, Group* group = nullptr);

}  // namespace lotse
