#include "runtime/host_access.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "runtime/address_space.h"
#include "runtime/memory.h"

namespace lotse::emulator {
namespace {

struct sigaction previous_action;

void explain(void* address) noexcept {
  char text[400];
  const AddressReport found = report_address(address);
  int length = 0;
  if (found.size == 0) {
    length = std::snprintf(text, sizeof text,
                           "lotse emulator: host access to device memory at %p, which belongs to "
                           "no allocation; a program must copy it with aclrtMemcpy\n",
                           address);
  } else {
    length = std::snprintf(text, sizeof text,
                           "lotse emulator: host access to device memory at %p: byte %zu of an "
                           "allocation of %zu bytes on device %d%s; copy it with aclrtMemcpy\n",
                           address, found.offset, found.size, found.device,
                           found.freed ? " (freed)" : "");
  }
  if (length > 0) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, static_cast<size_t>(length));
  }
}

// Returning repeats the access, which then meets the earlier action.
void on_fault(int signal, siginfo_t* info, void*) {
  if (is_device_address(info->si_addr)) explain(info->si_addr);
  sigaction(signal, &previous_action, nullptr);
}

}  // namespace

void install_host_access_handler() noexcept {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &previous_action);
}

}  // namespace lotse::emulator
