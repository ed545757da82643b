#include "device/ascend/ascend_device.h"

#include <fmt/format.h>

#include "device/ascend/exact.h"
#include "device/ascend/executable.h"

namespace lotse {
namespace {

using namespace ascend;

Result<AscendDeviceInfo> examine(const Library& library, int32_t index) {
  const auto queue = LOTSE_TRY(Queue::open(library, index));
  const char* soc = library.soc_name();
  AscendDeviceInfo info{index, soc == nullptr ? "" : soc, library.emulator, library.folder, 0, 0};
  size_t free = 0;
  size_t total = 0;
  if (const AclStatus status = library.memory_info(kDeviceMemory, &free, &total)) {
    return std::unexpected(call_error(library, "aclrtGetMemInfo", status));
  }
  info.free_bytes = static_cast<int64_t>(free);
  info.total_bytes = static_cast<int64_t>(total);
  return info;
}

class AscendDevice final : public Device {
 public:
  AscendDevice(const Library& library, AscendDeviceInfo info, Group* group)
      : library_(library),
        info_(std::move(info)),
        name_(fmt::format("ascend:{}", info_.index)),
        group_(group) {}

  std::string_view name() const override { return name_; }
  std::string description() const override {
    return describe(info_) + (asks_exact() ? "; activations in FP32" : "");
  }
  bool is_emulated() const override { return !info_.emulator.empty(); }
  int64_t available_bytes() const override { return info_.free_bytes; }
  int64_t block_tokens() const override { return 128; }  // what paged attention takes at least

  Result<std::unique_ptr<Executable>> load(const Program& program, std::vector<Weight> weights,
                                           const ExecutionLimits& limits) override {
    LOTSE_CHECK(weights.size() == program.weights.size());
    const ChipProfile chip = LOTSE_TRY(profile_of(info_.soc));
    auto queue = LOTSE_TRY(Queue::open(library_, info_.index));
    std::unique_ptr<Communicator> communicator;
    if (has_collectives(program)) {
      LOTSE_CHECK(group_ != nullptr);
      communicator = LOTSE_TRY(Communicator::join(*queue, *group_));
    }
    return AscendExecutable::load(std::move(queue), std::move(communicator), chip, program, weights,
                                  limits);
  }

 private:
  const Library& library_;
  AscendDeviceInfo info_;
  std::string name_;
  Group* group_;
};

}  // namespace

std::string describe(const AscendDeviceInfo& info) {
  if (info.emulator.empty()) return info.soc;
  return fmt::format("{}, EMULATED by {}", info.soc, info.emulator);
}

Result<std::vector<AscendDeviceInfo>> list_ascend_devices() {
  const Library* library = LOTSE_TRY(Library::open());
  uint32_t count = 0;
  if (const AclStatus status = library->device_count(&count)) {
    return std::unexpected(call_error(*library, "aclrtGetDeviceCount", status));
  }
  std::vector<AscendDeviceInfo> devices;
  for (uint32_t i = 0; i < count; ++i) {
    devices.push_back(LOTSE_TRY(examine(*library, static_cast<int32_t>(i))));
  }
  return devices;
}

Result<std::unique_ptr<Device>> make_ascend_device(int32_t index, Group* group) {
  const Library* library = LOTSE_TRY(Library::open());
  return std::make_unique<AscendDevice>(*library, LOTSE_TRY(examine(*library, index)), group);
}

}  // namespace lotse
