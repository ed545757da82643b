#include "device/device.h"

#include "base/machine.h"

namespace lotse {

int64_t Device::available_bytes() const { return read_memory().usable(); }

}  // namespace lotse
