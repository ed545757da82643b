// Which kernel tables this build has, which of them this processor can run, and the choice.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "device/cpu/kernels.h"

namespace lotse::cpu {

struct InstructionSet {
  const KernelTable* kernels;
  std::string missing;  // what the processor or its operating system lacks; empty: it runs
};

// All tables of this build, the fastest first.
std::vector<InstructionSet> instruction_sets();

// The fastest table that runs here, or the one that the environment variable LOTSE_ISA names.
Result<const KernelTable*> choose_kernels();

}  // namespace lotse::cpu
