#include "runtime/address_space.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <mutex>

#include "runtime/error.h"
#include "runtime/extents.h"
#include "runtime/host_access.h"

namespace lotse::emulator {
namespace {

// As much as there is: sanitizers and `ulimit -v` leave less than the first.
constexpr size_t kArenaSizes[] = {size_t{8} << 40, size_t{2} << 40, size_t{512} << 30,
                                  size_t{128} << 30};
constexpr size_t kArenaAlignment = size_t{1} << 30;

// Set once by the constructor of Arena, read by the signal handler.
std::atomic<uintptr_t> public_begin{0};
std::atomic<uintptr_t> private_begin{0};
std::atomic<size_t> arena_size{0};

// 0 when there is no room.
uintptr_t reserve_region(size_t size) {
  void* region = mmap(nullptr, size + kArenaAlignment, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) return 0;
  return (reinterpret_cast<uintptr_t>(region) + kArenaAlignment - 1) & -kArenaAlignment;
}

// Sets both sides' beginnings and returns their size.
size_t reserve_regions() {
  for (const size_t size : kArenaSizes) {
    const uintptr_t visible = reserve_region(size);
    const uintptr_t hidden = visible == 0 ? 0 : reserve_region(size);
    if (hidden != 0) {
      arena_size = size;
      private_begin = hidden;
      public_begin = visible;
      return size;
    }
    if (visible != 0) munmap(reinterpret_cast<void*>(visible), size);
  }
  fail(kAllocationFailed,
       "cannot reserve {} GiB of address space for device memory ({}); raise "
       "`ulimit -v`",
       kArenaSizes[std::size(kArenaSizes) - 1] >> 29, std::strerror(errno));
}

struct Arena {
  Arena() : extents(static_cast<int64_t>(reserve_regions())) { install_host_access_handler(); }
  std::mutex mutex;
  Extents extents;
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
  return begin != 0 && reinterpret_cast<uintptr_t>(address) - begin < arena_size.load();
}

std::byte* private_address(uintptr_t address) noexcept {
  return reinterpret_cast<std::byte*>(address - public_begin.load() + private_begin.load());
}

uintptr_t reserve_addresses(size_t size, size_t alignment) {
  Arena& self = arena();
  const std::lock_guard lock(self.mutex);
  const auto offset = size > arena_size.load() ? std::nullopt
                                               : self.extents.take(static_cast<int64_t>(size),
                                                                   static_cast<int64_t>(alignment));
  if (!offset) {
    fail(kOutOfMemory, "no range of {} bytes left of {} GiB of device addresses", size,
         arena_size.load() >> 30);
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
