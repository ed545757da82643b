#include "device/cpu/isa.h"

#include <cstdlib>

namespace lotse::cpu {

Result<const KernelTable*> choose_kernels() {
  const char* wanted = std::getenv("LOTSE_ISA");
  std::string names;
  for (const InstructionSet& set : instruction_sets()) {
    if (wanted == nullptr || *wanted == '\0') {
      if (set.missing.empty()) return set.kernels;
      continue;
    }
    if (set.kernels->name == std::string(wanted)) {
      if (set.missing.empty()) return set.kernels;
      return fail(ErrorCode::unsupported, "LOTSE_ISA={}: this machine lacks {}", wanted,
                  set.missing);
    }
    names += (names.empty() ? "" : ", ") + std::string(set.kernels->name);
  }
  return fail(ErrorCode::invalid_input, "LOTSE_ISA={}: no such instruction set; this build has {}",
              wanted == nullptr ? "" : wanted, names);
}

}  // namespace lotse::cpu
