// The reference device: plain scalar code, the specification of every operator. Slow by design.
#pragma once

#include <memory>

#include "device/device.h"

namespace lotse {

std::unique_ptr<Device> make_reference_device();

}  // namespace lotse
