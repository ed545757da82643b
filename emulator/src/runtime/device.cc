#include "runtime/device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/address_space.h"
#include "runtime/error.h"
#include "runtime/soc.h"
#include "runtime/stream.h"

namespace lotse::emulator {
namespace {

constexpr size_t kBaseAlignment = size_t{1} << 21;
constexpr int64_t kPage = 4096;

thread_local int32_t current = -1;

struct Devices {
  std::mutex mutex;
  std::vector<std::unique_ptr<Device>> all;
};

Devices& devices() {
  static auto& instance = *new Devices;
  return instance;
}

}  // namespace

Device::Device(int32_t id) : id_(id), capacity_(soc().capacity), extents_(capacity_) {
  file_ = memfd_create("ascend-device-memory", MFD_CLOEXEC);
  if (file_ < 0 || ftruncate(file_, capacity_) != 0) {
    fail(kAllocationFailed, "cannot make the memory of device {}: {}", id, std::strerror(errno));
  }
  base_ = reserve_addresses(static_cast<size_t>(capacity_), kBaseAlignment);
  map_private(base_, static_cast<size_t>(capacity_), file_, 0);
}

int64_t Device::free_bytes() {
  const std::lock_guard lock(mutex_);
  return extents_.free_bytes();
}

int64_t Device::take_memory(int64_t size, int64_t alignment) {
  const std::lock_guard lock(mutex_);
  const auto offset = size > capacity_ ? std::nullopt : extents_.take(size, alignment);
  if (!offset) {
    const bool fragmented = size <= extents_.free_bytes();
    fail(kOutOfMemory, "out of memory on device {} ({}): asked for {} bytes, {} free{} of {}", id_,
         soc().name, size, extents_.free_bytes(), fragmented ? " but in smaller pieces" : "",
         capacity_);
  }
  return *offset;
}

void Device::give_memory_back(int64_t offset, int64_t size) {
  const int64_t first = (offset + kPage - 1) & -kPage;
  const int64_t last = (offset + size) & -kPage;
  const std::lock_guard lock(mutex_);
  if (first < last)
    fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first, last - first);
  extents_.give_back(offset, size);
}

void Device::retain() {
  const std::lock_guard lock(mutex_);
  ++users_;
}

bool Device::release(bool forced) {
  const std::lock_guard lock(mutex_);
  if (users_ == 0) fail(kInvalidDevice, "device {}: it was not set, or reset already", id_);
  users_ = forced ? 0 : users_ - 1;
  return users_ == 0;
}

Stream& Device::default_stream() {
  const std::lock_guard lock(mutex_);
  if (!default_stream_) default_stream_ = std::make_unique<Stream>(id_);
  return *default_stream_;
}

void Device::forget_default_stream() {
  std::unique_ptr<Stream> stream;
  const std::lock_guard lock(mutex_);
  stream = std::move(default_stream_);
}

void Device::enable_peer(int32_t peer, bool enabled) {
  const std::lock_guard lock(mutex_);
  if (enabled) {
    peers_.insert(peer);
  } else {
    peers_.erase(peer);
  }
}

bool Device::may_access(int32_t other) {
  if (other == id_) return true;
  const std::lock_guard lock(mutex_);
  return peers_.contains(other);
}

Device& device(int32_t id) {
  if (id < 0 || id >= soc().device_count) {
    fail(kInvalidDevice, "device {}: there are {} devices (LOTSE_EMULATOR_DEVICES sets the number)",
         id, soc().device_count);
  }
  Devices& self = devices();
  const std::lock_guard lock(self.mutex);
  self.all.resize(static_cast<size_t>(soc().device_count));
  auto& slot = self.all[static_cast<size_t>(id)];
  if (!slot) slot = std::make_unique<Device>(id);
  return *slot;
}

Device& current_device() {
  if (current < 0) fail(kNoDeviceSet, "this thread has no device; call aclrtSetDevice first");
  return device(current);
}

void set_current_device(int32_t id) {
  device(id).retain();
  current = id;
}

void forget_current_device() { current = -1; }

}  // namespace lotse::emulator
