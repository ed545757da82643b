// A rank's communicator: the object behind HcclComm. Tasks share it, so it lives until the last one
// ran. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "collective/collective_board.h"
#include "collective/collective_segment.h"
#include "runtime/rank_group.h"

namespace lotse::emulator {

class Communicator final : public RankGroup {
 public:
  // `file` is that of the ranks' segment, which stays the caller's.
  Communicator(int file, uint32_t rank, int32_t device);

  uint32_t rank() const override { return membership_.rank(); }
  uint32_t ranks() const override { return segment_.ranks(); }
  int32_t device() const override { return device_; }
  const char* name() const override { return segment_.name(); }
  bool whole() const { return membership_.whole(); }

  uint64_t take_exchange() override;
  std::vector<Message> exchange(uint64_t turn, Gathering kind, const char* operation,
                                const std::vector<Message>& messages) override;
  void abandon(uint64_t turn, const char* operation, const std::string& reason) override;

  Place& collective() { return collective_; }
  // For transfers between two ranks, of which this one is one.
  Place& pair(uint32_t from, uint32_t to);

 private:
  Segment segment_;
  const int32_t device_;
  Membership membership_;
  Place collective_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Place>> pairs_;  // by from · ranks + to, made when needed
};

using CommunicatorHandle = std::shared_ptr<Communicator>;

// One operation and where it meets its peers.
struct PlacedExchange {
  Place* place = nullptr;
  Exchange exchange;
};

// Enqueues operations, which run side by side, as one task. The stream must be the communicator's
// device's.
void enqueue_exchanges(const CommunicatorHandle& communicator, const char* name,
                       std::vector<PlacedExchange> operations, aclrtStream stream);

// The communicator behind a handle; throws HCCL_E_PARA when it is dead.
const CommunicatorHandle& communicator_of(HcclComm handle);

}  // namespace lotse::emulator
