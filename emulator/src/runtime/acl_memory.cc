// aclrt* functions of device and host memory.
#include <cstdlib>
#include <cstring>

#include "acl/acl.h"
#include "runtime/address_space.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/stream.h"

using namespace lotse::emulator;

namespace {

constexpr size_t kHostAlignment = 4096;

struct Copy {
  void* to;
  const void* from;
  size_t size;
  bool to_device, from_device;
};

void require_side(const void* address, bool on_device, const char* argument, aclrtMemcpyKind kind) {
  if (is_device_address(address) == on_device) return;
  fail(kInvalidParameter, "argument {}: {} is {} memory, but kind {} wants {} memory", argument,
       address, on_device ? "host" : "device", static_cast<int>(kind),
       on_device ? "device" : "host");
}

Copy checked_copy(void* dst, size_t dest_max, const void* src, size_t count, aclrtMemcpyKind kind) {
  require_pointer(dst, "dst");
  require_pointer(src, "src");
  if (count > dest_max) {
    fail(kInvalidParameter, "argument count: {} bytes do not fit into destMax, {}", count,
         dest_max);
  }
  if (kind < ACL_MEMCPY_HOST_TO_HOST || kind > ACL_MEMCPY_DEFAULT) {
    fail(kInvalidParameter, "argument kind: got {}, expected 0 to 4", static_cast<int>(kind));
  }
  if (kind != ACL_MEMCPY_DEFAULT) {
    require_side(dst, kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_DEVICE_TO_DEVICE,
                 "dst", kind);
    require_side(src, kind == ACL_MEMCPY_DEVICE_TO_HOST || kind == ACL_MEMCPY_DEVICE_TO_DEVICE,
                 "src", kind);
  }
  return {dst, src, count, is_device_address(dst), is_device_address(src)};
}

// The host's side of an address, or where the emulator reads and writes the device's.
void* accessible(const void* address, size_t size, int32_t device_id, const char* argument,
                 int code) {
  if (!is_device_address(address)) return const_cast<void*>(address);
  try {
    return resolve(address, size, device_id, code);
  } catch (const Error& error) {
    fail(code, "argument {}: {}", argument, error.text());
  }
}

void perform(const Copy& copy, int32_t device_id, int code) {
  if (copy.size == 0) return;
  void* const to = accessible(copy.to, copy.size, device_id, "dst", code);
  const void* const from = accessible(copy.from, copy.size, device_id, "src", code);
  std::memmove(to, from, copy.size);
}

Cost cost_of(const Copy& copy) {
  if (copy.to_device && copy.from_device) {
    return {.bytes = 2.0 * static_cast<double>(copy.size), .launch = Launch::other};
  }
  return host_link_cost(copy.size);
}

void perform_memset(void* to, int32_t value, size_t size, int32_t device_id, int code) {
  if (size > 0) std::memset(accessible(to, size, device_id, "devPtr", code), value, size);
}

void check_memset(void* to, size_t max, size_t count) {
  require_pointer(to, "devPtr");
  if (count > max) {
    fail(kInvalidParameter, "argument count: {} bytes are more than maxCount, {}", count, max);
  }
}

Access access(const void* address, size_t size, bool writes, const char* argument) {
  return {.begin = reinterpret_cast<uintptr_t>(address),
          .size = size,
          .writes = writes,
          .argument = argument};
}

}  // namespace

LOTSE_C_API aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  return guarded("aclrtMalloc", [&] {
    require_pointer(devPtr, "devPtr");
    if (size == 0) fail(kInvalidParameter, "argument size: got 0, expected at least 1");
    if (policy < 0 || policy > ACL_MEM_MALLOC_NORMAL_ONLY_P2P) {
      fail(kInvalidParameter, "argument policy: got {}, expected 0 to 5", static_cast<int>(policy));
    }
    *devPtr = allocate(current_device().id(), size);
  });
}

LOTSE_C_API aclError aclrtFree(void* devPtr) {
  return guarded("aclrtFree", [&] {
    require_pointer(devPtr, "devPtr");
    release(devPtr);
  });
}

LOTSE_C_API aclError aclrtMallocHost(void** hostPtr, size_t size) {
  return guarded("aclrtMallocHost", [&] {
    require_pointer(hostPtr, "hostPtr");
    if (size == 0) fail(kInvalidParameter, "argument size: got 0, expected at least 1");
    if (posix_memalign(hostPtr, kHostAlignment, size) != 0) {
      fail(kAllocationFailed, "the host has no {} bytes left", size);
    }
  });
}

LOTSE_C_API aclError aclrtFreeHost(void* hostPtr) {
  return guarded("aclrtFreeHost", [&] {
    require_pointer(hostPtr, "hostPtr");
    if (is_device_address(hostPtr)) {
      fail(kInvalidParameter, "argument hostPtr: {} is device memory; call aclrtFree", hostPtr);
    }
    std::free(hostPtr);
  });
}

// Runs at once on the calling thread: like the vendor's, it does not wait for any stream.
LOTSE_C_API aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count,
                                 aclrtMemcpyKind kind) {
  return guarded("aclrtMemcpy", [&] {
    const Copy copy = checked_copy(dst, destMax, src, count, kind);
    const int32_t id = current_device().id();
    require_no_hazard("aclrtMemcpy", access(src, count, false, "src"));
    require_no_hazard("aclrtMemcpy", access(dst, count, true, "dst"));
    perform(copy, id, kInvalidParameter);
    advance_host(duration_of(cost_of(copy)).us);
  });
}

LOTSE_C_API aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count,
                                      aclrtMemcpyKind kind, aclrtStream stream) {
  return guarded("aclrtMemcpyAsync", [&] {
    const Copy copy = checked_copy(dst, destMax, src, count, kind);
    Stream& target = stream_of(stream);
    target.enqueue(
        {.name = "aclrtMemcpyAsync",
         .run = [copy, id = target.device()] { perform(copy, id, kCopyFault); },
         .cost = cost_of(copy),
         .accesses = {access(dst, count, true, "dst"), access(src, count, false, "src")}});
  });
}

LOTSE_C_API aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  return guarded("aclrtMemset", [&] {
    check_memset(devPtr, maxCount, count);
    const int32_t id = current_device().id();
    require_no_hazard("aclrtMemset", access(devPtr, count, true, "devPtr"));
    perform_memset(devPtr, value, count, id, kInvalidParameter);
    advance_host(duration_of({.bytes = static_cast<double>(count), .launch = Launch::other}).us);
  });
}

LOTSE_C_API aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count,
                                      aclrtStream stream) {
  return guarded("aclrtMemsetAsync", [&] {
    check_memset(devPtr, maxCount, count);
    Stream& target = stream_of(stream);
    target.enqueue(
        {.name = "aclrtMemsetAsync",
         .run = [devPtr, value, count,
                 id = target.device()] { perform_memset(devPtr, value, count, id, kCopyFault); },
         .cost = {.bytes = static_cast<double>(count), .launch = Launch::other},
         .accesses = {access(devPtr, count, true, "devPtr")}});
  });
}

// Every attribute answers for the one memory that is emulated, HBM.
LOTSE_C_API aclError aclrtGetMemInfo(aclrtMemAttr, size_t* freeSize, size_t* totalSize) {
  return guarded("aclrtGetMemInfo", [&] {
    require_pointer(freeSize, "free");
    require_pointer(totalSize, "total");
    *freeSize = static_cast<size_t>(current_device().free_bytes());
    *totalSize = static_cast<size_t>(current_device().capacity());
  });
}
