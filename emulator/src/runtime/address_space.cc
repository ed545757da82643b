#include "runtime/address_space.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "runtime/error.h"
#include "runtime/extents.h"
#include "runtime/host_access.h"

namespace lotse::emulator {
namespace {

constexpr size_t kArenaSize = size_t{8} << 40;
constexpr size_t kArenaAlignment = size_t{1} << 30;

// Set once by the constructor of Arena, read by the signal handler.
std::atomic<uintptr_t> public_begin{0};
std::atomic<uintptr_t> private_begin{0};

uintptr_t reserve_region() {
  void* region = mmap(nullptr, kArenaSize + kArenaAlignment, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) {
    fail(kAllocationFailed,
         "cannot reserve {} TiB of address space for device memory ({}); raise `ulimit -v`",
         kArenaSize >> 40, std::strerror(errno));
  }
  return (reinterpret_cast<uintptr_t>(region) + kArenaAlignment - 1) & -kArenaAlignment;
}

struct Arena {
  Arena() {
    public_begin = reserve_region();
    private_begin = reserve_region();
    install_host_access_handler();
  }
  std::mutex mutex;
  Extents extents{static_cast<int64_t>(kArenaSize)};
};

Arena& arena() {
  static auto& instance = *new Arena;
  return instance;
}

void map_fixed(uintptr_t begin, size_t size, int protection, int flags, int file, int64_t offset) {
  void* const wanted = private_address(begin);
  if (mmap(wanted, size, protection, flags | MAP_FIXED | MAP_NORESERVE, file, offset) != wanted) {
    fail(kAllocationFailed, "cannot map {} bytes of device memory: {}", size, std::strerror(errno));
  }
}

}  // namespace

bool is_device_address(const void* address) noexcept {
  const uintptr_t begin = public_begin.load();
  return begin != 0 && reinterpret_cast<uintptr_t>(address) - begin < kArenaSize;
}

std::byte* private_address(uintptr_t address) noexcept {
  return reinterpret_cast<std::byte*>(address - public_begin.load() + private_begin.load());
}

uintptr_t reserve_addresses(size_t size, size_t alignment) {
  Arena& self = arena();
  const std::lock_guard lock(self.mutex);
  const auto offset = size > kArenaSize ? std::nullopt
                                        : self.extents.take(static_cast<int64_t>(size),
                                                            static_cast<int64_t>(alignment));
  if (!offset) {
    fail(kOutOfMemory, "no range of {} bytes left of {} TiB of device addresses", size,
         kArenaSize >> 40);
  }
  return public_begin.load() + static_cast<uintptr_t>(*offset);
}

void release_addresses(uintptr_t begin, size_t size) {
  Arena& self = arena();
  const std::lock_guard lock(self.mutex);
  self.extents.give_back(static_cast<int64_t>(begin - public_begin.load()),
                         static_cast<int64_t>(size));
}

void map_private(uintptr_t begin, size_t size, int file, int64_t offset) {
  map_fixed(begin, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset);
}

void unmap_private(uintptr_t begin, size_t size) {
  map_fixed(begin, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

}  // namespace lotse::emulator
