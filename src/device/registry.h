// The devices this build has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/collective/group.h"
#include "device/device.h"

namespace lotse {

struct DeviceOptions {
  int threads = 0;         // host threads; 0: one a core
  Group* group = nullptr;  // for a rank of several; outlives the device
};

// One device as people see it in a list.
struct DeviceListing {
  std::string name;         // as open_device takes it
  std::string description;  // empty when it cannot be used
  std::string problem;      // why it cannot be used; else empty
  bool is_emulated = false;
  int64_t free_bytes = 0;  // of its own memory; 0 for devices that use the host's
  int64_t total_bytes = 0;
};

// Every device, the default first. Devices of a kind whose libraries are absent make one entry that
// says so.
std::vector<DeviceListing> list_devices();

// Opens a device by name: "cpu", "reference", "ascend" or "ascend:N". not_found lists what there
// is.
Result<std::unique_ptr<Device>> open_device(const std::string& name, const DeviceOptions& options);

}  // namespace lotse
