// The devices this build has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace lotse {

struct DeviceOptions {
  int threads = 0;  // host threads; 0: one a core
};

// Names that open_device takes, the default first.
std::vector<std::string> device_names();

// Opens a device by name; not_found lists the names there are.
Result<std::unique_ptr<Device>> open_device(const std::string& name, const DeviceOptions& options);

}  // namespace lotse
