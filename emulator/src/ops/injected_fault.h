// Faults on request, so that programs can test what they do when a device fails in the middle of
// work: LOTSE_EMULATOR_FAULT=aclnnSwiGlu:100 makes the 100th run of that operator in this
// process fail; a graph's replay runs it like a launch.
#pragma once

#include <string_view>

namespace lotse::emulator {

// Counts a run of `name`; true when it is the one that shall fail. Thread-safe.
bool is_injected_fault(std::string_view name);

}  // namespace lotse::emulator
