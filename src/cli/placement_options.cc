#include "cli/placement_options.h"

namespace lotse::cli {

void add_placement(CLI::App& command, EngineOptions& options) {
  command.add_option("--device", options.device, "Device to run on")->capture_default_str();
  command
      .add_option("--tp", options.ranks,
                  "Processes that divide the model, each on a device of its own")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "Threads; 0: one a core")
      ->check(CLI::Range(0, 1024));
}

}  // namespace lotse::cli
