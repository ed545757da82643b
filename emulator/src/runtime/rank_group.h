// The ranks of a communicator as operators see them, which exchange messages of host memory. The
// communicators of libhccl are such groups; operators find them by the communicator's name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/api.h"

namespace lotse::emulator {

using Message = std::vector<std::byte>;

enum class Gathering { dispatch, combine };

// Thread-safe.
class LOTSE_EMULATOR_API RankGroup {
 public:
  virtual ~RankGroup() = default;
  virtual const char* name() const = 0;
  virtual uint32_t rank() const = 0;
  virtual uint32_t ranks() const = 0;
  virtual int32_t device() const = 0;

  // A place in the order of the group's operations, taken when a task joins its stream's queue. It
  // ends with exchange() or abandon().
  virtual uint64_t take_exchange() = 0;
  // Message i goes to rank i; returns those of all ranks to this one. Waits for the others, moves
  // the running task's start to the last rank's and adds the link's time. Throws when a rank is
  // missing or does something else.
  virtual std::vector<Message> exchange(uint64_t turn, Gathering kind, const char* operation,
                                        const std::vector<Message>& messages) = 0;
  // Tells the others that this rank's operation does not come.
  virtual void abandon(uint64_t turn, const char* operation, const std::string& reason) = 0;
};

LOTSE_EMULATOR_API void add_group(const std::shared_ptr<RankGroup>& group);
LOTSE_EMULATOR_API void remove_group(const RankGroup& group);
// This device's member of a communicator; null when there is none.
LOTSE_EMULATOR_API std::shared_ptr<RankGroup> find_group(const std::string& name, int32_t device);

}  // namespace lotse::emulator
