// lotse devices: what a model can run on here, and whether it is real or emulated.
#include <fmt/core.h>

#include "base/json.h"
#include "cli/cli.h"
#include "device/registry.h"

namespace lotse::cli {
namespace {

Json json_of(const DeviceListing& device) {
  Json json = {{"name", device.name},
               {"usable", device.problem.empty()},
               {"emulated", device.is_emulated},
               {"description", device.description}};
  if (!device.problem.empty()) json["problem"] = device.problem;
  if (device.total_bytes > 0) {
    json["free_bytes"] = device.free_bytes;
    json["total_bytes"] = device.total_bytes;
  }
  return json;
}

void print_line(const DeviceListing& device) {
  constexpr double kGibibyte = 1 << 30;
  const bool is_usable = device.problem.empty();
  fmt::print("{:<12} {:<9} {}", device.name,
             !is_usable           ? "absent"
             : device.is_emulated ? "emulated"
                                  : "real",
             is_usable ? device.description : device.problem);
  if (device.total_bytes > 0) {
    fmt::print(", {:.1f} of {:.1f} GiB free", static_cast<double>(device.free_bytes) / kGibibyte,
               static_cast<double>(device.total_bytes) / kGibibyte);
  }
  fmt::print("\n");
}

Result<int> devices(bool json) {
  const std::vector<DeviceListing> all = list_devices();
  if (json) {
    Json list = Json::array();
    for (const DeviceListing& device : all) list.push_back(json_of(device));
    fmt::print("{}\n", list.dump(2));
  } else {
    for (const DeviceListing& device : all) print_line(device);
  }
  return kOk;
}

}  // namespace

void add_devices(Commands& commands) {
  auto json = std::make_shared<bool>(false);
  CLI::App* app = commands.add("devices", "List what models can run on here, real or emulated",
                               "  lotse devices\n"
                               "  lotse run MODEL --device ascend:0\n");
  app->add_flag("--json", *json, "Print JSON");
  app->callback([&commands, json] { commands.action = [json] { return devices(*json); }; });
}

}  // namespace lotse::cli
