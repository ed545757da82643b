#include "device/registry.h"

#include <fmt/format.h>

#include <charconv>

#include "device/ascend/ascend_device.h"
#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"

namespace lotse {

namespace {

// N of "ascend:N", 0 of "ascend"; nothing for another name.
std::optional<int32_t> ascend_index(std::string_view name) {
  constexpr std::string_view kPrefix = "ascend:";
  if (name == "ascend") return 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int32_t index = 0;
  const char* end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + kPrefix.size(), end, index);
  if (error != std::errc() || last != end) return std::nullopt;
  return index;
}

}  // namespace

std::vector<DeviceListing> list_devices() {
  std::vector<DeviceListing> listings;
  for (const char* name : {"cpu", "reference"}) {
    const auto device = open_device(name, {});
    listings.push_back({name, device ? (*device)->description() : "",
                        device ? "" : device.error().message, false, 0, 0});
  }
  const auto npus = list_ascend_devices();
  if (!npus) listings.push_back({"ascend", "", npus.error().message, false, 0, 0});
  for (const AscendDeviceInfo& npu : npus.value_or(std::vector<AscendDeviceInfo>())) {
    listings.push_back({fmt::format("ascend:{}", npu.index), describe(npu), "",
                        !npu.emulator.empty(), npu.free_bytes, npu.total_bytes});
  }
  return listings;
}

Result<std::unique_ptr<Device>> open_device(const std::string& name, const DeviceOptions& options) {
  if (name == "cpu") return make_cpu_device(options.threads, options.group);
  if (name == "reference") return make_reference_device(options.group);
  if (const auto index = ascend_index(name)) return make_ascend_device(*index, options.group);
  return fail(
      ErrorCode::not_found,
      "no device named \"{}\": there are cpu, reference and ascend:N (`lotse devices` lists "
      "them)",
      name);
}

}  // namespace lotse
