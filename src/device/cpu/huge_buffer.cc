#include "device/cpu/huge_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/checked.h"

namespace lotse::cpu {

namespace {
constexpr int64_t kHugePage = int64_t{2} << 20;
// Kernels prefetch some KiB beyond what they read; a pad keeps that inside the mapping.
constexpr int64_t kPad = 8192;
}  // namespace

Result<HugeBuffer> HugeBuffer::allocate(int64_t bytes, const char* what) {
  HugeBuffer buffer;
  if (bytes <= 0) return buffer;
  const int64_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const auto padded = checked_add(bytes, kPad + alignment);
  void* mapping = padded ? mmap(nullptr, static_cast<size_t>(*padded), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                         : MAP_FAILED;
  if (mapping == MAP_FAILED) {
    return fail(ErrorCode::limit, "no memory for {}: {} bytes wanted, {}", what, bytes,
                padded ? std::strerror(errno) : "more than an address space holds");
  }
  buffer.mapping_ = mapping;
  buffer.mapped_ = static_cast<size_t>(*padded);
  const auto beyond = reinterpret_cast<uintptr_t>(mapping) % static_cast<uintptr_t>(alignment);
  const auto skipped = beyond == 0 ? 0 : static_cast<uintptr_t>(alignment) - beyond;
  buffer.data_ = static_cast<std::byte*>(mapping) + skipped;
  buffer.size_ = bytes;
  // Only a hint: without huge pages everything works, a little slower.
  if (alignment == kHugePage) madvise(buffer.data_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return buffer;
}

HugeBuffer::~HugeBuffer() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

}  // namespace lotse::cpu
