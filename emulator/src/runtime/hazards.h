// Races: two accesses to the same device memory, one of which writes, that nothing orders. Every
// stream has a vector clock; events, synchronisation and enqueueing by the host order work, and all
// of that is known when a task is enqueued, so what is found does not depend on when tasks run.
//
// All host threads count as one: what one of them waited for, the program may have told the others.
// So a program without races is never accused; one with races may escape where another thread's
// wait seems to order them, where more than kMostCells ranges are in use, or where an operator's
// tensor is only touched in part (rows of a cache) and the part is not known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lotse::emulator {

struct Access;
struct Task;

// How much of each stream's work came before; by slot.
using VectorClock = std::vector<uint64_t>;

// The bytes of an access: all from begin to end, or `run` bytes in each `period`.
struct Footprint {
  uintptr_t begin = 0, end = 0;
  size_t run = 0, period = 0;
  bool partial = false;  // some of these, not known which
};

// The process's streams have one detector, each capture one of its own. Thread-safe.
class HazardDetector {
 public:
  // A task joins a stream: what it races with, in words.
  std::optional<std::string> add(int64_t stream, int32_t device, const Task& task);
  VectorClock record(int64_t stream);
  void wait(int64_t stream, const VectorClock& recorded);
  // The stream's work has ended; its number does not come again.
  void end(int64_t stream);

  // The host waited for what was recorded.
  void host_waited(const VectorClock& recorded);
  // The host is about to read or write: the work that it should have waited for.
  std::optional<std::string> host_access(const char* function, const Access& access);

  // Memory is freed: which stream may still use it, and the words for it.
  struct EarlyFree {
    int64_t stream = 0;
    std::string text;
  };
  std::optional<EarlyFree> freed(uintptr_t begin, size_t size);
  // Memory begins a new life.
  void forget(uintptr_t begin, size_t size);

 private:
  struct Actor {
    size_t slot = 0;
    int32_t device = 0;
    bool meets_others = false;  // runs collectives, which order it with work of other devices
    VectorClock clock{};
  };
  struct Origin {
    std::string task, argument;
    int64_t stream = 0;
    int32_t device = 0;
    bool meets_others = false;
    Footprint footprint{};
    std::string text() const;
  };
  struct Use {
    size_t slot = 0;
    uint64_t time = 0;
    bool writes = false;
    std::shared_ptr<const Origin> origin;
  };
  struct Cell {
    uintptr_t end = 0;
    std::vector<Use> uses;  // since the last write of all of it
  };
  using Cells = std::map<uintptr_t, Cell>;

  Actor& actor(int64_t stream);
  const Use* find_conflict(const Footprint& footprint, bool writes, const VectorClock& known,
                           const Actor* self) const;
  void insert(const Footprint& footprint, const Use& use);
  Cells::iterator first_touching(uintptr_t begin);
  void split_at(uintptr_t address);
  void erase(uintptr_t begin, uintptr_t end);
  bool known_to_host(const Use& use) const;
  void prune();

  std::mutex mutex_;
  std::map<int64_t, Actor> actors_;
  std::vector<size_t> free_slots_;
  size_t slots_ = 0;
  VectorClock host_;
  Cells cells_;
  size_t prune_at_ = 0;
};

// The process's; null when LOTSE_EMULATOR_HAZARDS=off.
HazardDetector* hazards();

}  // namespace lotse::emulator
