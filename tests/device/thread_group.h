// A group whose ranks are threads of one process, for tests.
#pragma once

#include <algorithm>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#include "device/collective/group.h"

namespace lotse {

class ThreadGroup {
 public:
  explicit ThreadGroup(int32_t size) : meet_(size), given_(static_cast<size_t>(size)) {
    for (int32_t rank = 0; rank < size; ++rank) members_.emplace_back(*this, rank);
  }

  // Runs f(group) for each rank at once.
  template <class F>
  void run(F&& f) {
    std::vector<std::jthread> threads;
    for (Member& member : members_) threads.emplace_back([&f, &member] { f(member); });
  }

 private:
  class Member final : public Group {
   public:
    Member(ThreadGroup& team, int32_t rank) : team_(team), rank_(rank) {}
    int32_t rank() const override { return rank_; }
    int32_t size() const override { return static_cast<int32_t>(team_.given_.size()); }

    Result<std::vector<std::byte>> broadcast(std::vector<std::byte> bytes) override {
      if (rank_ == 0) team_.bytes_ = std::move(bytes);
      team_.meet_.arrive_and_wait();
      std::vector<std::byte> copy = team_.bytes_;
      team_.meet_.arrive_and_wait();
      return copy;
    }

    Result<void> all_reduce(std::span<float> values) override {
      give(values);
      std::ranges::fill(values, 0.0f);
      for (const std::vector<float>& part : team_.given_) {
        for (size_t i = 0; i < values.size(); ++i) values[i] += part[i];
      }
      team_.meet_.arrive_and_wait();
      return {};
    }

    Result<void> all_gather(std::span<const float> mine, std::span<float> all) override {
      give(mine);
      for (size_t rank = 0; rank < team_.given_.size(); ++rank) {
        std::ranges::copy(team_.given_[rank], all.subspan(rank * mine.size()).begin());
      }
      team_.meet_.arrive_and_wait();
      return {};
    }

   private:
    void give(std::span<const float> values) {
      team_.given_[static_cast<size_t>(rank_)].assign(values.begin(), values.end());
      team_.meet_.arrive_and_wait();
    }

    ThreadGroup& team_;
    int32_t rank_;
  };

  std::barrier<> meet_;
  std::vector<std::vector<float>> given_;
  std::vector<std::byte> bytes_;
  std::vector<Member> members_;
};

}  // namespace lotse
