#include "runtime/memory.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "runtime/address_space.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/stream.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kAlignment = 512;
constexpr size_t kRememberedFrees = 4096;

struct Piece {
  size_t size = 0;  // as asked for
  int32_t device = 0;
  int64_t number = 0;   // counts allocations, for messages
  bool mapped = false;  // at an address of the program's own, next to which others may lie
};

struct Table {
  std::mutex mutex;
  std::map<uintptr_t, Piece> live;
  std::deque<std::pair<uintptr_t, Piece>> freed;  // the latest last
  int64_t allocations = 0;
};

Table& table() {
  static auto& instance = *new Table;
  return instance;
}

// Sizes beyond any device stay beyond it.
int64_t rounded(size_t size) {
  const size_t bounded = std::min(size, size_t{1} << 60);
  return (static_cast<int64_t>(bounded) + kAlignment - 1) & -kAlignment;
}

void insert(uintptr_t begin, Piece piece) {
  Table& self = table();
  const std::lock_guard lock(self.mutex);
  piece.number = ++self.allocations;
  self.live[begin] = piece;
}

// The callers of these hold the table's mutex.
void forget(std::map<uintptr_t, Piece>::iterator piece) {
  Table& self = table();
  self.freed.emplace_back(*piece);
  if (self.freed.size() > kRememberedFrees) self.freed.pop_front();
  self.live.erase(piece);
}

const std::pair<const uintptr_t, Piece>* piece_at(uintptr_t address) {
  auto next = table().live.upper_bound(address);
  if (next == table().live.begin()) return nullptr;
  --next;
  return address - next->first < next->second.size ? &*next : nullptr;
}

const std::pair<uintptr_t, Piece>* freed_piece_at(uintptr_t address) {
  const auto& freed = table().freed;
  for (auto it = freed.rbegin(); it != freed.rend(); ++it) {
    if (address - it->first < it->second.size) return &*it;
  }
  return nullptr;
}

[[noreturn]] void fail_unallocated(uintptr_t address, size_t size, int code) {
  if (const auto* piece = freed_piece_at(address)) {
    fail(code, "device memory at {:#x} was {}: allocation #{} of {} bytes on device {}", address,
         piece->second.mapped ? "unmapped" : "freed", piece->second.number, piece->second.size,
         piece->second.device);
  }
  fail(code, "device address {:#x} ({} bytes) belongs to no allocation", address, size);
}

// Checks [address, address + size): one allocation, or adjacent mappings.
void check_range(uintptr_t address, size_t size, int32_t device_id, int code) {
  const uintptr_t end = address + size;
  for (uintptr_t at = address; at < end || at == address;) {
    const auto* piece = piece_at(at);
    if (piece == nullptr) fail_unallocated(at, size, code);
    const auto& [begin, info] = *piece;
    if (!device(device_id).may_access(info.device)) {
      fail(code,
           "memory at {:#x} is device {}'s, but the work runs on device {}; call "
           "aclrtDeviceEnablePeerAccess first",
           at, info.device, device_id);
    }
    const uintptr_t piece_end = begin + info.size;
    if (end <= piece_end) return;
    if (!info.mapped) {
      fail(code,
           "{} bytes at byte {} of allocation #{} of {} bytes on device {} reach {} bytes "
           "beyond its end",
           size, at - begin, info.number, info.size, info.device, end - piece_end);
    }
    at = piece_end;
  }
}

}  // namespace

void* allocate(int32_t device_id, size_t size) {
  Device& owner = device(device_id);
  const int64_t offset = owner.take_memory(rounded(size), kAlignment);
  const uintptr_t begin = owner.base() + static_cast<uintptr_t>(offset);
  begin_of_memory(begin, size);
  insert(begin, {.size = size, .device = device_id});
  return reinterpret_cast<void*>(begin);
}

void release(void* address) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  Piece piece;
  {
    Table& self = table();
    const std::lock_guard lock(self.mutex);
    const auto found = self.live.find(begin);
    if (found == self.live.end() || found->second.mapped) {
      if (const auto* inside = piece_at(begin)) {
        fail(kInvalidParameter,
             "argument devPtr: {} is byte {} of allocation #{}, not its "
             "beginning",
             address, begin - inside->first, inside->second.number);
      }
      if (const auto* freed = freed_piece_at(begin)) {
        fail(kInvalidParameter,
             "argument devPtr: allocation #{} of {} bytes at {} was freed "
             "already",
             freed->second.number, freed->second.size, address);
      }
      fail(kInvalidParameter, "argument devPtr: {} was not allocated by aclrtMalloc", address);
    }
    piece = found->second;
    forget(found);
  }
  end_of_memory(begin, piece.size);
  Device& owner = device(piece.device);
  owner.give_memory_back(static_cast<int64_t>(begin - owner.base()), rounded(piece.size));
}

void add_mapping(uintptr_t begin, size_t size, int32_t device_id) {
  begin_of_memory(begin, size);
  insert(begin, {.size = size, .device = device_id, .mapped = true});
}

size_t remove_mapping(uintptr_t begin) {
  size_t size = 0;
  {
    Table& self = table();
    const std::lock_guard lock(self.mutex);
    const auto found = self.live.find(begin);
    if (found == self.live.end() || !found->second.mapped) {
      fail(kInvalidParameter, "argument virPtr: {:#x} is not the beginning of a mapping", begin);
    }
    size = found->second.size;
    forget(found);
  }
  end_of_memory(begin, size);
  return size;
}

std::byte* resolve(const void* address, size_t size, int32_t device_id, int code) {
  if (address == nullptr) fail(code, "a null address");
  if (!is_device_address(address)) {
    fail(code, "{} is host memory; a device reads and writes device memory only", address);
  }
  const auto begin = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(table().mutex);
  check_range(begin, size, device_id, code);
  return private_address(begin);
}

void release_all(int32_t device_id) {
  std::vector<uintptr_t> left;
  {
    Table& self = table();
    const std::lock_guard lock(self.mutex);
    for (const auto& [begin, piece] : self.live) {
      if (piece.device == device_id && !piece.mapped) left.push_back(begin);
    }
  }
  for (const uintptr_t begin : left) release(reinterpret_cast<void*>(begin));
}

AddressReport report_address(const void* address) noexcept {
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::unique_lock lock(table().mutex, std::try_to_lock);
  for (int attempt = 0; !lock && attempt < 100'000; ++attempt) lock.try_lock();
  if (!lock) return {};
  if (const auto* piece = piece_at(at)) {
    return {piece->second.size, at - piece->first, piece->second.device, false};
  }
  if (const auto* piece = freed_piece_at(at)) {
    return {piece->second.size, at - piece->first, piece->second.device, true};
  }
  return {};
}

}  // namespace lotse::emulator
