// What a rank does in the tests of collectives, in a thread or in a process of its own. Failures
// are GoogleTest's.
#pragma once

#include <cstdint>

#include "hccl/hccl.h"

namespace emulator_test {

struct Rank {
  uint32_t rank = 0, ranks = 1;
  HcclComm comm = nullptr;
  aclrtStream stream = nullptr;
};

// Every operation on every type that it takes, small and of several steps, in place and not.
void check_all_operations(const Rank& self);

// Sums 1.0 of every rank over `count` floats and waits; the code of the synchronise.
int sum_ones(const Rank& self, int64_t count);

}  // namespace emulator_test
