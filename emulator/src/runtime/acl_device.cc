// acl* and aclrt* functions of initialisation and devices.
#include "acl/acl.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/soc.h"
#include "runtime/stream.h"
#include "runtime/trace.h"

using namespace lotse::emulator;

namespace {

// The last of as many resets as the device was set waits for its work, whose faults no longer
// matter, and frees its memory.
void reset(int32_t id, bool forced) {
  Device& target = device(id);
  if (!target.release(forced)) return;
  try {
    synchronize_streams(id);
  } catch (const Error&) {
  }
  target.forget_default_stream();
  release_all(id);
  forget_current_device();
}

}  // namespace

// The configuration file is not read: it names dumps and profilers of the vendor's.
LOTSE_C_API aclError aclInit(const char*) {
  return guarded("aclInit", [] { soc(); });
}

LOTSE_C_API aclError aclFinalize() {
  return guarded("aclFinalize", [] { write_trace(); });
}

LOTSE_C_API aclError aclrtGetDeviceCount(uint32_t* count) {
  return guarded("aclrtGetDeviceCount", [&] {
    require_pointer(count, "count");
    *count = static_cast<uint32_t>(soc().device_count);
  });
}

LOTSE_C_API aclError aclrtSetDevice(int32_t deviceId) {
  return guarded("aclrtSetDevice", [&] { set_current_device(deviceId); });
}

LOTSE_C_API aclError aclrtGetDevice(int32_t* deviceId) {
  return guarded("aclrtGetDevice", [&] {
    require_pointer(deviceId, "deviceId");
    *deviceId = current_device().id();
  });
}

LOTSE_C_API aclError aclrtResetDevice(int32_t deviceId) {
  return guarded("aclrtResetDevice", [&] { reset(deviceId, false); });
}

LOTSE_C_API aclError aclrtResetDeviceForce(int32_t deviceId) {
  return guarded("aclrtResetDeviceForce", [&] { reset(deviceId, true); });
}

LOTSE_C_API aclError aclrtSynchronizeDevice() {
  return guarded("aclrtSynchronizeDevice", [] { synchronize_streams(current_device().id()); });
}

LOTSE_C_API const char* aclrtGetSocName() {
  const char* name = nullptr;
  guarded("aclrtGetSocName", [&] { name = soc().name.c_str(); });
  return name;
}

LOTSE_C_API aclError aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId,
                                              int32_t peerDeviceId) {
  return guarded("aclrtDeviceCanAccessPeer", [&] {
    require_pointer(canAccessPeer, "canAccessPeer");
    *canAccessPeer = device(deviceId).id() != device(peerDeviceId).id() ? 1 : 0;
  });
}

LOTSE_C_API aclError aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags) {
  return guarded("aclrtDeviceEnablePeerAccess", [&] {
    if (flags != 0) fail(kInvalidParameter, "argument flags: got {}, expected 0", flags);
    if (device(peerDeviceId).id() == current_device().id()) {
      fail(kInvalidDevice, "argument peerDeviceId: device {} is the current one", peerDeviceId);
    }
    current_device().enable_peer(peerDeviceId, true);
  });
}

LOTSE_C_API aclError aclrtDeviceDisablePeerAccess(int32_t peerDeviceId) {
  return guarded("aclrtDeviceDisablePeerAccess",
                 [&] { current_device().enable_peer(device(peerDeviceId).id(), false); });
}
