// One line typed by a person, with editing and history, from a terminal.
#pragma once

#include <optional>
#include <string>

namespace lotse::cli {

// Nothing at the end of input or when Ctrl-C was pressed. Lines that are not empty join the
// history.
std::optional<std::string> read_line(const char* prompt);

// While one of these lives, Ctrl-C sets a flag instead of ending the program.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

  // Whether Ctrl-C was pressed since the last clear().
  static bool interrupted();
  static void clear();
};

}  // namespace lotse::cli
