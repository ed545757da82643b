// aclrt* functions of virtual memory: ranges of device addresses into which pieces of physical
// device memory are mapped.
#include <map>
#include <memory>
#include <mutex>

#include "acl/acl.h"
#include "runtime/address_space.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/handles.h"
#include "runtime/memory.h"

using namespace lotse::emulator;

namespace {

constexpr size_t kGranularity = size_t{2} << 20;

// Physical memory stays taken until its last mapping is gone too.
class PhysicalMemory {
 public:
  PhysicalMemory(int32_t device_id, size_t size)
      : device_(device_id),
        size_(static_cast<int64_t>(size)),
        offset_(device(device_id).take_memory(size_, kGranularity)) {}
  ~PhysicalMemory() { ::lotse::emulator::device(device_).give_memory_back(offset_, size_); }
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  int32_t device_id() const { return device_; }
  size_t size() const { return static_cast<size_t>(size_); }
  int64_t offset() const { return offset_; }

 private:
  const int32_t device_;
  const int64_t size_;
  const int64_t offset_;
};

using PhysicalHandle = std::shared_ptr<PhysicalMemory>;

struct Mapping {
  size_t size;
  PhysicalHandle memory;
};

struct VirtualMemory {
  std::mutex mutex;
  std::map<uintptr_t, size_t> reserved;
  std::map<uintptr_t, Mapping> mapped;
};

VirtualMemory& state() {
  static auto& instance = *new VirtualMemory;
  return instance;
}

void require_granular(size_t value, const char* argument) {
  if (value % kGranularity != 0) {
    fail(kInvalidParameter, "argument {}: {} is not a multiple of {}", argument, value,
         kGranularity);
  }
}

void require_size(size_t size) {
  if (size == 0) fail(kInvalidParameter, "argument size: got 0, expected at least 1");
  require_granular(size, "size");
}

// The caller holds the mutex.
void require_reserved(uintptr_t begin, size_t size) {
  auto next = state().reserved.upper_bound(begin);
  if (next != state().reserved.begin()) {
    --next;
    if (begin - next->first < next->second && size <= next->second - (begin - next->first)) return;
  }
  fail(kInvalidParameter,
       "argument virPtr: {} bytes at {:#x} were not reserved by "
       "aclrtReserveMemAddress",
       size, begin);
}

// The caller holds the mutex. Every mapping that touches [begin, begin + size).
bool any_mapped(uintptr_t begin, size_t size) {
  auto next = state().mapped.lower_bound(begin + size);
  if (next == state().mapped.begin()) return false;
  --next;
  return next->first >= begin || begin - next->first < next->second.size;
}

}  // namespace

LOTSE_C_API aclError aclrtReserveMemAddress(void** virPtr, size_t size, size_t alignment,
                                            void* expectPtr, uint64_t) {
  return guarded("aclrtReserveMemAddress", [&] {
    require_pointer(virPtr, "virPtr");
    require_size(size);
    if (alignment != 0)
      fail(kInvalidParameter, "argument alignment: got {}, expected 0", alignment);
    if (expectPtr != nullptr) fail(kInvalidParameter, "argument expectPtr: expected null");
    const uintptr_t begin = reserve_addresses(size, kGranularity);
    const std::lock_guard lock(state().mutex);
    state().reserved[begin] = size;
    *virPtr = reinterpret_cast<void*>(begin);
  });
}

LOTSE_C_API aclError aclrtReleaseMemAddress(void* virPtr) {
  return guarded("aclrtReleaseMemAddress", [&] {
    const auto begin = reinterpret_cast<uintptr_t>(virPtr);
    const std::lock_guard lock(state().mutex);
    const auto found = state().reserved.find(begin);
    if (found == state().reserved.end()) {
      fail(kInvalidParameter, "argument virPtr: {} is not the beginning of a reserved range",
           virPtr);
    }
    if (any_mapped(begin, found->second)) {
      fail(kInvalidParameter,
           "argument virPtr: the range at {} still has mappings; call "
           "aclrtUnmapMem first",
           virPtr);
    }
    release_addresses(begin, found->second);
    state().reserved.erase(found);
  });
}

LOTSE_C_API aclError aclrtMallocPhysical(aclrtDrvMemHandle* handle, size_t size,
                                         const aclrtPhysicalMemProp* prop, uint64_t) {
  return guarded("aclrtMallocPhysical", [&] {
    require_pointer(handle, "handle");
    require_pointer(prop, "prop");
    require_size(size);
    if (prop->location.type != ACL_MEM_LOCATION_TYPE_DEVICE) {
      fail(kInvalidParameter, "argument prop: location.type {} is not emulated, only 1 (device)",
           static_cast<int>(prop->location.type));
    }
    auto memory = std::make_shared<PhysicalMemory>(static_cast<int32_t>(prop->location.id), size);
    *handle =
        hand_out(std::make_unique<PhysicalHandle>(std::move(memory)), HandleKind::physical_memory);
  });
}

LOTSE_C_API aclError aclrtFreePhysical(aclrtDrvMemHandle handle) {
  return guarded("aclrtFreePhysical", [&] {
    take_back(static_cast<PhysicalHandle*>(handle), HandleKind::physical_memory, "handle",
              kInvalidHandle);
  });
}

LOTSE_C_API aclError aclrtMapMem(void* virPtr, size_t size, size_t offset, aclrtDrvMemHandle handle,
                                 uint64_t) {
  return guarded("aclrtMapMem", [&] {
    check_handle(handle, HandleKind::physical_memory, "handle", kInvalidHandle);
    const PhysicalHandle memory = *static_cast<PhysicalHandle*>(handle);
    require_size(size);
    require_granular(offset, "offset");
    if (offset > memory->size() || size > memory->size() - offset) {
      fail(kInvalidParameter, "argument size: {} bytes at {} reach beyond the {} bytes of handle",
           size, offset, memory->size());
    }
    const auto begin = reinterpret_cast<uintptr_t>(virPtr);
    require_granular(begin, "virPtr");
    const std::lock_guard lock(state().mutex);
    require_reserved(begin, size);
    if (any_mapped(begin, size)) {
      fail(kInvalidParameter, "argument virPtr: memory is mapped at {} already", virPtr);
    }
    map_private(begin, size, device(memory->device_id()).memory_file(),
                memory->offset() + static_cast<int64_t>(offset));
    add_mapping(begin, size, memory->device_id());
    state().mapped[begin] = {size, memory};
  });
}

LOTSE_C_API aclError aclrtUnmapMem(void* virPtr) {
  return guarded("aclrtUnmapMem", [&] {
    const auto begin = reinterpret_cast<uintptr_t>(virPtr);
    const std::lock_guard lock(state().mutex);
    unmap_private(begin, remove_mapping(begin));
    state().mapped.erase(begin);
  });
}

LOTSE_C_API aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp* prop,
                                                      aclrtMemGranularityOptions option,
                                                      size_t* granularity) {
  return guarded("aclrtMemGetAllocationGranularity", [&] {
    require_pointer(prop, "prop");
    require_pointer(granularity, "granularity");
    if (option != ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM &&
        option != ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED) {
      fail(kInvalidParameter, "argument option: got {}, expected 0 or 1", static_cast<int>(option));
    }
    *granularity = kGranularity;
  });
}
