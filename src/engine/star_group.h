// A group whose ranks each have a channel to rank 0: enough where the ranks share a machine.
#pragma once

#include <chrono>
#include <vector>

#include "device/collective/group.h"
#include "engine/channel.h"

namespace lotse {

// How long a rank waits for another in the middle of a step: LOTSE_RANK_TIMEOUT seconds, else 120.
std::chrono::milliseconds rank_timeout();

class StarGroup final : public Group {
 public:
  // Rank 0 has channels to ranks 1 … size − 1, in this order; every other has one, to rank 0. They
  // outlive the group.
  StarGroup(int32_t rank, int32_t size, std::span<Channel> channels)
      : rank_(rank), size_(size), channels_(channels) {}

  int32_t rank() const override { return rank_; }
  int32_t size() const override { return size_; }
  Result<std::vector<std::byte>> broadcast(std::vector<std::byte> bytes) override;
  Result<void> all_reduce(std::span<float> values) override;
  Result<void> all_gather(std::span<const float> mine, std::span<float> all) override;

 private:
  Result<void> send(size_t channel, std::span<const float> values);
  Result<void> receive(size_t channel, std::span<float> values);
  // Rank 0's `values` on all ranks.
  Result<void> share(std::span<float> values);

  int32_t rank_;
  int32_t size_;
  std::span<Channel> channels_;
  std::vector<float> part_;
};

}  // namespace lotse
