// Faults on request, so that programs can test what they do when a device fails in the middle of
// work: LOTSE_EMULATOR_FAULT=aclnnSwiGlu:100 makes the 100th launch of that operator in this
// process fail when it runs.
#pragma once

#include <string_view>

namespace lotse::emulator {

// Counts a launch of `name`; true when it is the one that shall fail. Thread-safe.
bool is_injected_fault(std::string_view name);

}  // namespace lotse::emulator
