// One rank's place at a board: runs its operations there one at a time, in the order in which they
// were issued, and moves their data in steps through the shared memory. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "collective/collective_segment.h"
#include "runtime/stream.h"

namespace lotse::emulator {

// What this rank sends and receives. Offsets are bytes, one a member; one message for all members
// has the first offset only.
struct Exchange {
  std::string name{};  // the function
  CallRecord call{};
  const void* send = nullptr;
  void* receive = nullptr;
  std::vector<int64_t> send_offsets{}, receive_offsets{};
  int64_t send_bytes = 0, receive_bytes = 0;  // of the whole buffers; 0: not touched
  bool on_host = false;                       // whether the buffers are host memory
};

// What the places of a rank have in common: how to wait for another rank, and that one failure ends
// all. Thread-safe.
class Membership {
 public:
  Membership(const Segment& segment, uint32_t rank);
  ~Membership();  // tells the others that this rank left
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  uint32_t rank() const { return rank_; }
  const char* name() const { return segment_.name(); }

  // Waits until `counter`, of rank `peer`, reaches `target`. Throws kCollectiveTimeout when the
  // rank's process ended, it failed or left, or the time is up.
  void await(const std::atomic<uint32_t>& counter, uint32_t target, uint32_t peer,
             const std::string& operation);

  // Tells the others that this rank takes part no more; the first reason stays.
  void give_up(const std::string& reason);
  // Throws the reason with which this rank gave up, if it did.
  void require_whole() const;
  bool whole() const;

 private:
  bool process_ended(uint32_t peer) const;

  const Segment& segment_;
  const uint32_t rank_;
  const std::chrono::seconds patience_;
  std::vector<int> processes_;  // a pidfd of each other process, or -1
  std::mutex mutex_;
};

class Place {
 public:
  // `ranks` names the members, of which this rank is number `side`.
  Place(Membership& membership, Board board, std::vector<uint32_t> ranks, uint32_t side);

  // The next turn; every one must be used by `run` or `abandon`.
  uint64_t take_turn();

  // Waits for the turn, for the other members, and moves the data. `start_us` is the virtual time
  // at which this rank is ready.
  Timing run(uint64_t turn, const Exchange& exchange, int32_t device, double start_us);
  void abandon(uint64_t turn, const std::string& operation, const std::string& reason);

 private:
  struct Buffers {
    const std::byte* send = nullptr;
    std::byte* receive = nullptr;
  };

  Timing perform(const Exchange& exchange, int32_t device, double start_us);
  void post_step(const Exchange& exchange, const Buffers& buffers, int64_t at, bool first);
  void meet(const std::string& operation);
  void take_step(const Exchange& exchange, const Buffers& buffers,
                 const std::vector<CallRecord>& calls, int64_t at);
  void reduce(const Exchange& exchange, const Buffers& buffers, int64_t at, int64_t size);
  std::vector<CallRecord> agreed_calls() const;
  int64_t piece_bytes(Operation operation) const;
  void finish_turn(uint64_t turn);

  Membership& membership_;
  const Board board_;
  const std::vector<uint32_t> ranks_;
  const uint32_t side_;
  uint32_t step_ = 0;  // of the running operation's thread

  std::mutex mutex_;
  std::condition_variable turned_;
  uint64_t next_turn_ = 0, serving_ = 0;
  std::set<uint64_t> finished_;  // turns beyond `serving_`
};

}  // namespace lotse::emulator
