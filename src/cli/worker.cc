// lotse worker: another rank of a model that a leading process divides. Started by Lotse itself.
#include "cli/cli.h"
#include "engine/team.h"

namespace lotse::cli {

void add_worker(Commands& commands) {
  struct Options {
    int channel = -1;
    int rank = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* app = commands.app.add_subcommand("worker", "A rank of a divided model");
  app->group("");  // not for people
  app->add_option("--channel", options->channel, "Descriptor of the channel to the leader")
      ->required();
  app->add_option("--rank", options->rank, "Shown in lists of processes only");
  app->callback([&commands, options] {
    commands.action = [options]() -> Result<int> {
      return serve_as_rank(options->channel) ? kOk : kFailed;
    };
  });
}

}  // namespace lotse::cli
