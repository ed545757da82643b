// Device addresses. One arena of address space is reserved twice: the public side, which programs
// hold, is never accessible; the private side, a constant distance away, maps the devices' memory.
// So a device address is recognised by one comparison and translated by one addition.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/api.h"

namespace lotse::emulator {

// Whether `address` lies in the arena's public side. Async-signal-safe; false before the first use.
LOTSE_EMULATOR_API bool is_device_address(const void* address) noexcept;

// Where the emulator itself reads and writes a public address.
LOTSE_EMULATOR_API std::byte* private_address(uintptr_t address) noexcept;

// Reserves a range of public addresses; throws kOutOfMemory when the arena is full. `alignment` is
// a power of two, at least a page.
uintptr_t reserve_addresses(size_t size, size_t alignment);
void release_addresses(uintptr_t begin, size_t size);

// Maps `size` bytes of `file` at the private side of `begin`; unmapping leaves the range reserved.
void map_private(uintptr_t begin, size_t size, int file, int64_t offset);
void unmap_private(uintptr_t begin, size_t size);

}  // namespace lotse::emulator
