// What this machine can do at most, measured: the limits that every speed figure is set against.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "device/cpu/isa.h"

namespace lotse::cpu {

// Bytes a second that `threads` threads read from memory together, from the best times of `rounds`
// passes over a buffer of `bytes`, which must be far larger than the last-level cache.
Result<double> measure_read_bandwidth(const KernelTable& kernels, int threads,
                                      int64_t bytes = int64_t{1} << 30, int rounds = 5);

// Operations a second of the register tiles' multiply-adds (one counts two).
struct PeakRates {
  double f32;
  double bf16;
  double int8;
};
PeakRates measure_peaks(const KernelTable& kernels, int threads);

}  // namespace lotse::cpu
