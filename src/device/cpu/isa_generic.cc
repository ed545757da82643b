// Processors without a table of their own.
#include "device/cpu/isa.h"

namespace lotse::cpu {

std::vector<InstructionSet> instruction_sets() { return {{&kGenericKernels, ""}}; }

}  // namespace lotse::cpu
