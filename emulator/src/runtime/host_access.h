// A handler of SIGSEGV that says so when the host touches device memory.
#pragma once

namespace lotse::emulator {

// The earlier handler, or the default, still gets the signal afterwards.
void install_host_access_handler() noexcept;

}  // namespace lotse::emulator
