#include "cli/line_editor.h"

#include <editline/readline.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>

namespace lotse::cli {
namespace {

std::atomic<bool> interrupt_flag{false};
struct sigaction previous_action;

void on_interrupt(int) { interrupt_flag.store(true); }

}  // namespace

std::optional<std::string> read_line(const char* prompt) {
  const std::unique_ptr<char, decltype(&std::free)> line(readline(prompt), &std::free);
  if (line == nullptr) return std::nullopt;
  if (*line != '\0') add_history(line.get());
  return std::string(line.get());
}

InterruptGuard::InterruptGuard() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;  // without SA_RESTART, so that a read returns
  sigaction(SIGINT, &action, &previous_action);
  clear();
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &previous_action, nullptr); }

bool InterruptGuard::interrupted() { return interrupt_flag.load(); }

void InterruptGuard::clear() { interrupt_flag.store(false); }

}  // namespace lotse::cli
