// The devices of this process: memory file, capacity, default stream and peers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "runtime/api.h"
#include "runtime/extents.h"

namespace lotse::emulator {

class Stream;

class Device {
 public:
  explicit Device(int32_t id);

  int32_t id() const { return id_; }
  int64_t capacity() const { return capacity_; }
  int memory_file() const { return file_; }
  uintptr_t base() const { return base_; }  // public address of the memory's first byte
  int64_t free_bytes();

  // Takes a piece of the device's memory; throws kOutOfMemory with what is asked, free and total.
  int64_t take_memory(int64_t size, int64_t alignment);
  // Gives a piece back to the device and its pages to the host.
  void give_memory_back(int64_t offset, int64_t size);

  // Calls of aclrtSetDevice less those of aclrtResetDevice. The last release, and every forced one,
  // is true; one too many is an error.
  void retain();
  bool release(bool forced);

  Stream& default_stream();
  void forget_default_stream();

  void enable_peer(int32_t peer, bool enabled);
  bool may_access(int32_t other);

 private:
  const int32_t id_;
  const int64_t capacity_;
  int file_ = -1;
  uintptr_t base_ = 0;
  std::mutex mutex_;
  Extents extents_;
  int64_t users_ = 0;
  std::unique_ptr<Stream> default_stream_;
  std::set<int32_t> peers_;
};

// Device `id`, made at its first use; throws kInvalidDevice when there is none.
LOTSE_EMULATOR_API Device& device(int32_t id);

// The calling thread's device; throws kNoDeviceSet before its aclrtSetDevice.
LOTSE_EMULATOR_API Device& current_device();
LOTSE_EMULATOR_API void set_current_device(int32_t id);
void forget_current_device();

}  // namespace lotse::emulator
