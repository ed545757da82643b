// The reference device: plain scalar code, the specification of every operator. Slow by design.
#pragma once

#include <memory>

#include "device/collective/group.h"
#include "device/device.h"

namespace lotse {

// `group`, which outlives the device, is needed for programs with collectives only.
std::unique_ptr<Device> make_reference_device(Group* group = nullptr);

}  // namespace lotse
