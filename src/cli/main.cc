// lotse: brings models trained on Nvidia hardware safely onto other hardware.
#include <fmt/core.h>

#include <new>

#include "cli/cli.h"

namespace {

using lotse::cli::Commands;

void add_all(Commands& commands) {
  using namespace lotse::cli;
  for (const auto add : {add_inspect, add_port, add_verify, add_run, add_serve, add_embed, add_eval,
                         add_bench, add_pull, add_synth, add_tokenize, add_devices, add_doctor,
                         add_completion, add_manual, add_worker}) {
    add(commands);
  }
}

int fail_with(const std::string& message) {
  fmt::print(stderr, "lotse: {}\n", message);
  return lotse::cli::kFailed;
}

int run_command(const Commands& commands) {
  try {
    const auto result = commands.action();
    if (!result) return fail_with(result.error().message);
    if (std::fflush(stdout) != 0) return fail_with("cannot write standard output");
    return *result;
  } catch (const std::bad_alloc&) {
    return fail_with("out of memory; `lotse doctor` shows what there is");
  } catch (const std::exception& error) {
    return fail_with(error.what());
  }
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
