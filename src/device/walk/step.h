// The time of a whole step on one or more devices, by roofline.
#pragma once

#include <vector>

#include "device/walk/cost.h"

namespace lotse {

struct StepTime {
  double seconds = 0;        // operators and communication
  double communication = 0;  // of these, s
  double flops = 0;          // of the whole step, on one device or many
  double bytes = 0;
  std::vector<Time> ops;  // of each operator of the program
};

// Adds up operator after operator, under tensor parallelism over `devices` (norms and additions of
// whole rows are done by each, the cache is divided by its heads) with, for more than one, two
// all-reduces a layer (after attention and after the MLP) over the narrowest link that the devices
// need. A roofline, not a prediction: no fusion, no overlap, no imbalance. Errors: unsupported when
// the profile lacks a number that is needed.
Result<StepTime> step_time(const Program& program, const Storage& storage, const StepShape& step,
                           const ChipProfile& chip, int64_t devices);

// Least time to sum `bytes` held by each of `devices` devices, with the result on all: a ring, or a
// direct exchange on a mesh, either of which moves 2 (n − 1) / n of it.
Result<double> all_reduce_time(const ChipProfile& chip, double bytes, int64_t devices);

}  // namespace lotse
