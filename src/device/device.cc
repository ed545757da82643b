#include "device/device.h"

#include "base/machine.h"

namespace lotse {

int64_t Device::available_bytes() const { return read_memory().usable(); }

Result<TopLogits> Executable::run_top(const Batch&, const TopRequest&) {
  return fail(ErrorCode::unsupported, "the device chooses no logits");
}

Result<std::span<const float>> Executable::last_logits() {
  return fail(ErrorCode::unsupported, "the device chooses no logits");
}

}  // namespace lotse
