// lotse: brings models trained on Nvidia hardware safely onto other hardware.
#include <fmt/core.h>

#include "cli/cli.h"

namespace {

using lotse::cli::Commands;

void add_all(Commands& commands) {
  using namespace lotse::cli;
  for (const auto add : {add_completion}) {
    add(commands);
  }
}

int run_command(const Commands& commands) {
  const auto result = commands.action();
  if (result) return *result;
  fmt::print(stderr, "lotse: {}\n", result.error().message);
  return lotse::cli::kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Lotse brings AI models trained on Nvidia hardware safely onto other hardware.",
               "lotse");
  app.set_version_flag("--version", "lotse " LOTSE_VERSION);
  app.require_subcommand(1);
  app.footer("`lotse COMMAND --help` shows a command's options and examples.");
  Commands commands{app, {}};
  add_all(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? lotse::cli::kOk : lotse::cli::kUsage;
  }
  return run_command(commands);
}
