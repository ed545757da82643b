// Tensor parallelism over processes: rank 0 is this one, the others are started and led by it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "engine/star_group.h"

namespace lotse {

struct EngineOptions;
class TeamExecutable;

// The other ranks: one process each, which has loaded the same model with its own share of the
// weights and repeats every step of this one. They end with the team, or when this process ends.
class Team {
 public:
  // Starts ranks 1 … options.ranks − 1 as `lotse worker`. They begin to load at once and wait for
  // rank 0 to do the same. Error: io when a process cannot be started.
  static Result<std::unique_ptr<Team>> start(const std::filesystem::path& model,
                                             const EngineOptions& options);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  Group& group() { return *group_; }

  // Ends when every rank has loaded. Error: what a rank could not load.
  Result<void> wait_until_ready();

  // Rank 0's executable, led with all others: run() on it is run() on every rank. An error ends
  // the team; it names the rank that caused it.
  std::unique_ptr<Executable> lead(std::unique_ptr<Executable> own);

  // Whether a rank's end was noticed.
  bool has_lost_a_rank() const;
  // Why rank 0 failed with `error`: what another rank said last or how it ended, else `error`.
  Error explain(Error error);

 private:
  friend class TeamExecutable;
  Team() = default;
  // Ends all other ranks at once.
  void dismiss();
  Result<void> start_rank(int32_t rank, const std::string& order);
  std::string how_it_ended(size_t worker);

  std::vector<Channel> channels_;
  std::vector<pid_t> processes_;  // −1 once it has ended
  std::unique_ptr<StarGroup> group_;
};

// What `lotse worker` does: loads its share as the process at the other end of `descriptor` says,
// and repeats its steps until that closes the channel. An error is the leader's to tell to people:
// it has been sent there.
Result<void> serve_as_rank(int descriptor);

}  // namespace lotse
