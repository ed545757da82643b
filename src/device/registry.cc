#include "device/registry.h"

#include <fmt/format.h>

#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"

namespace lotse {

std::vector<std::string> device_names() { return {"cpu", "reference"}; }

Result<std::unique_ptr<Device>> open_device(const std::string& name, const DeviceOptions& options) {
  if (name == "cpu") return make_cpu_device(options.threads);
  if (name == "reference") return make_reference_device();
  return fail(ErrorCode::not_found, "no device named \"{}\": this build has {}", name,
              fmt::join(device_names(), ", "));
}

}  // namespace lotse
