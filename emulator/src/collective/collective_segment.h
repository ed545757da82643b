// The memory that the ranks of a communicator share: an anonymous file (memfd), so nothing is left
// when the last process ends, however it ends. It holds each rank's state and the boards over which
// data moves: one of all ranks, and one of each ordered pair for sends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "hccl/hccl.h"

namespace lotse::emulator {

inline constexpr uint32_t kMaxRanks = 64;
inline constexpr int64_t kCollectiveStage = int64_t{1} << 20;  // bytes that a step moves at most
inline constexpr int64_t kPairStage = int64_t{1} << 18;

enum class RankState : uint32_t { present, failed, left };

struct RankRecord {
  std::atomic<RankState> state;
  std::atomic<int32_t> process;
  std::atomic<uint64_t> process_namespace;
  char reason[900];  // why it failed; written before `state`
};

enum class Operation : uint32_t {
  all_reduce,
  reduce,
  reduce_scatter,
  all_gather,
  broadcast,
  scatter,
  all_to_all,
  all_to_all_v,
  barrier,
  transfer,  // a send and its receive
  // The sizes of the rows that an operator exchanges, one for each rank.
  dispatch,
  combine,
};

// What a rank calls; the ranks compare it before any data moves.
struct CallRecord {
  Operation operation = Operation::barrier;
  HcclDataType type = HCCL_DATA_TYPE_INT8;
  HcclReduceOp reduce_op = HCCL_REDUCE_SUM;
  uint32_t root = 0;
  uint64_t count = 0;                 // elements of one message
  uint64_t send_counts[kMaxRanks]{};  // of all_to_all_v
  uint64_t receive_counts[kMaxRanks]{};
  double start_us = 0;  // virtual
};

// One member's side of a board. Steps count up over all operations; what belongs to step s lies in
// slot s % 2, which is free again once every member has taken step s.
struct alignas(64) SideRecord {
  std::atomic<uint32_t> posted;
  std::atomic<uint32_t> taken;
  CallRecord calls[2];
};

struct Board {
  SideRecord* sides = nullptr;
  std::byte* stages = nullptr;  // member's slots: stage_bytes each
  uint32_t members = 0;
  int64_t stage_bytes = 0;

  std::byte* stage(uint32_t member, uint32_t step) const {
    return stages + (int64_t{member} * 2 + step % 2) * stage_bytes;
  }
};

class Segment {
 public:
  // A file for `ranks` ranks; the caller closes it.
  static int create(uint32_t ranks, const std::string& name);

  // Maps a file from `create`; throws when it is none.
  explicit Segment(int file);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint32_t ranks() const;
  const char* name() const;
  RankRecord& rank(uint32_t rank) const;
  Board collective() const;
  Board pair(uint32_t from, uint32_t to) const;

 private:
  struct Header;
  std::byte* base_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lotse::emulator
