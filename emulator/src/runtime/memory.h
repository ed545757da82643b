// The live pieces of device memory, by public address. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/api.h"

namespace lotse::emulator {

// Allocates on `device`, aligned to 512 bytes; throws kOutOfMemory.
void* allocate(int32_t device, size_t size);

// Throws kInvalidParameter unless `address` is the beginning of a live allocation.
void release(void* address);

// Registers device memory that a program mapped at an address of its own.
void add_mapping(uintptr_t begin, size_t size, int32_t device);
// Returns the mapping's size; throws kInvalidParameter when `begin` begins none.
size_t remove_mapping(uintptr_t begin);

// Where `size` bytes at the device address `address` can be read and written by work that runs on
// `device`. Throws `code` with a text that says why not: host memory, freed, outside of an
// allocation, or another device's memory without peer access.
LOTSE_EMULATOR_API std::byte* resolve(const void* address, size_t size, int32_t device, int code);

// Frees what is left of a device's allocations.
void release_all(int32_t device);

struct AddressReport {
  size_t size = 0;  // 0: never allocated
  size_t offset = 0;
  int32_t device = 0;
  bool freed = false;
};

// What the address belongs to or did last; for the signal handler, so it never waits for long.
AddressReport report_address(const void* address) noexcept;

}  // namespace lotse::emulator
