#include "cli/cli.h"

namespace lotse::cli {

CLI::App* Commands::add(const std::string& name, const std::string& summary,
                        const std::string& examples) {
  CLI::App* command = app.add_subcommand(name, summary);
  command->footer("Examples:\n" + examples);
  return command;
}

}  // namespace lotse::cli
