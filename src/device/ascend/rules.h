// What the device has of a program, by the rules that `lotse inspect` shows for its chip.
#pragma once

#include <string>
#include <vector>

#include "chip/profile.h"
#include "device/ascend/abi.h"
#include "device/program.h"
#include "device/weight.h"

namespace lotse::ascend {

// The profile that lists this SoC name. Error: unsupported, with the names that are known.
Result<ChipProfile> profile_of(const std::string& soc);

// The rule's answer for each of program.ops, `native` or `composed`. A window that no sequence of
// `max_context` outgrows counts as none; `exact` asks for products of FP32. Error: unsupported
// names the first operator that is missing or whose weights must be ported first, with the reason
// and what to do.
Result<std::vector<Support>> check_program(const Program& program,
                                           const std::vector<Weight>& weights, AclType activations,
                                           AclType cached, int64_t max_context,
                                           const ChipProfile& chip, bool exact);

}  // namespace lotse::ascend
