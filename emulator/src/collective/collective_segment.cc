#include "collective/collective_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "collective/hccl_error.h"

namespace lotse::emulator {
namespace {

constexpr uint64_t kMagic = 0x4c6f747365484331;  // "LotseHC1"
constexpr int64_t kPage = 4096;

constexpr int64_t paged(int64_t size) { return (size + kPage - 1) & -kPage; }

constexpr int64_t kSide = sizeof(SideRecord);
// Every board: its sides, then its stages. Only the sender's side of a pair has stages.
constexpr int64_t pair_bytes() { return paged(2 * kSide) + 2 * kPairStage; }
constexpr int64_t collective_bytes(int64_t ranks) {
  return paged(ranks * kSide) + 2 * ranks * kCollectiveStage;
}

}  // namespace

struct Segment::Header {
  uint64_t magic;
  uint32_t ranks;
  char name[COMM_NAME_MAX_LENGTH];
  RankRecord records[kMaxRanks];
};

namespace {

constexpr int64_t header_bytes(int64_t header) { return paged(header); }
constexpr int64_t total_bytes(int64_t header, int64_t ranks) {
  return header_bytes(header) + collective_bytes(ranks) + ranks * ranks * pair_bytes();
}

}  // namespace

int Segment::create(uint32_t ranks, const std::string& name) {
  const int file = memfd_create("hccl-communicator", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const int64_t size = total_bytes(sizeof(Header), ranks);
  Header* header = nullptr;
  if (file >= 0 && ftruncate(file, size) == 0 && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0) {
    void* mapped = mmap(nullptr, sizeof(Header), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) header = static_cast<Header*>(mapped);
  }
  if (header == nullptr) {
    const std::string reason = std::strerror(errno);
    if (file >= 0) close(file);
    fail(HCCL_E_MEMORY, "cannot make {} bytes of shared memory: {}", size, reason);
  }
  header->magic = kMagic;
  header->ranks = ranks;
  std::snprintf(header->name, sizeof header->name, "%s", name.c_str());
  munmap(header, sizeof(Header));
  return file;
}

Segment::Segment(int file) {
  struct stat status = {};
  if (fstat(file, &status) != 0 || status.st_size < static_cast<int64_t>(sizeof(Header))) {
    fail(HCCL_E_INTERNAL, "the shared memory of the communicator is too small");
  }
  size_ = static_cast<size_t>(status.st_size);
  void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (mapped == MAP_FAILED) {
    fail(HCCL_E_MEMORY, "cannot map {} bytes of shared memory: {}", size_, std::strerror(errno));
  }
  base_ = static_cast<std::byte*>(mapped);
  const auto* header = reinterpret_cast<const Header*>(base_);
  if (header->magic != kMagic || header->ranks == 0 || header->ranks > kMaxRanks ||
      total_bytes(sizeof(Header), header->ranks) != status.st_size) {
    munmap(base_, size_);
    fail(HCCL_E_INTERNAL, "the shared memory is no communicator of this version of the emulator");
  }
}

Segment::~Segment() { munmap(base_, size_); }

uint32_t Segment::ranks() const { return reinterpret_cast<const Header*>(base_)->ranks; }
const char* Segment::name() const { return reinterpret_cast<const Header*>(base_)->name; }

RankRecord& Segment::rank(uint32_t rank) const {
  return reinterpret_cast<Header*>(base_)->records[rank];
}

Board Segment::collective() const {
  std::byte* const begin = base_ + header_bytes(sizeof(Header));
  return {.sides = reinterpret_cast<SideRecord*>(begin),
          .stages = begin + paged(ranks() * kSide),
          .members = ranks(),
          .stage_bytes = kCollectiveStage};
}

Board Segment::pair(uint32_t from, uint32_t to) const {
  const int64_t index = int64_t{from} * ranks() + to;
  std::byte* const begin =
      base_ + header_bytes(sizeof(Header)) + collective_bytes(ranks()) + index * pair_bytes();
  return {.sides = reinterpret_cast<SideRecord*>(begin),
          .stages = begin + paged(2 * kSide),
          .members = 2,
          .stage_bytes = kPairStage};
}

}  // namespace lotse::emulator
