#include "device/cpu/cpu_device.h"

#include "device/cpu/executable.h"
#include "device/cpu/isa.h"

namespace lotse {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(const cpu::KernelTable& kernels, int threads, Group* group)
      : kernels_(kernels), pool_(std::make_shared<ThreadPool>(threads)), group_(group) {}

  std::string_view name() const override { return "cpu"; }

  std::string description() const override {
    return fmt::format("{}, {} thread{}", kernels_.description, pool_->size(),
                       pool_->size() == 1 ? "" : "s");
  }

  Result<std::unique_ptr<Executable>> load(const Program& program, std::vector<Weight> weights,
                                           const ExecutionLimits& limits) override {
    return cpu::CpuExecutable::load(kernels_, pool_, program, std::move(weights), limits, group_);
  }

 private:
  const cpu::KernelTable& kernels_;
  std::shared_ptr<ThreadPool> pool_;
  Group* group_;
};

}  // namespace

Result<std::unique_ptr<Device>> make_cpu_device(int threads, Group* group) {
  const cpu::KernelTable* kernels = LOTSE_TRY(cpu::choose_kernels());
  return std::make_unique<CpuDevice>(*kernels, threads > 0 ? threads : available_cores(), group);
}

}  // namespace lotse
