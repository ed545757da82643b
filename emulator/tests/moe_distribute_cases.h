// Experts over the ranks of a communicator, in a thread or a process of its own each.
#pragma once

#include "collective_cases.h"

namespace emulator_test {

struct ExpertCase {
  int version = 2;
  bool quantised = false;  // by row, with factors of each expert
  bool masked = false;
  int64_t shared = 0, shared_ranks = 0;
};

// Dispatch, experts that multiply by their number, and combination, against double.
void check_experts(const Rank& self, const ExpertCase& c);

// Dispatches alone and waits; the code of the synchronise. `experts` is moeExpertNum.
int dispatch_once(const Rank& self, int64_t experts);

// Whether this chip has ranks for shared experts.
bool has_shared_ranks();

}  // namespace emulator_test
