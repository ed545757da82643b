// lotse synth: a random checkpoint with a real configuration's shapes, for tests and benchmarks.
#include <fmt/core.h>

#include <memory>

#include "base/progress.h"
#include "cli/cli.h"
#include "cli/random_checkpoint.h"

namespace lotse::cli {
namespace {

struct SynthOptions {
  std::string config;
  std::string out;
  RandomCheckpointOptions checkpoint;
};

Result<int> synth(const SynthOptions& options) {
  const auto plan = LOTSE_TRY(plan_random_checkpoint(options.config, options.checkpoint));
  {
    Progress progress("writing random weights", plan.total_bytes(), true);
    LOTSE_TRY(
        write_random_checkpoint(plan, options.out, [&](int64_t bytes) { progress.update(bytes); }));
  }
  fmt::print("{}: {} tensors, {} in {} files\n", options.out, plan.tensors.size(),
             format_bytes(static_cast<double>(plan.total_bytes())), plan.shards().size());
  return kOk;
}

}  // namespace

void add_synth(Commands& commands) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* app =
      commands.add("synth", "Write a random checkpoint with a real configuration's shapes",
                   "  lotse synth Qwen3-8B/config.json random-8b --layers 2\n"
                   "  lotse synth config.json out --seed 7 --tokenizer models/lotse-nano\n");
  app->add_option("CONFIG", options->config, "A config.json, or a directory with one")->required();
  app->add_option("OUT", options->out, "Directory to write; must not exist")->required();
  app->add_option("--seed", options->checkpoint.seed, "Seed of the weights")->capture_default_str();
  app->add_option("--layers", options->checkpoint.layers, "Layers to keep; default: as configured")
      ->check(CLI::Range(1, 1 << 16));
  app->add_option("--tokenizer", options->checkpoint.tokenizer,
                  "Directory whose tokenizer and chat template are copied");
  app->callback([&commands, options] { commands.action = [options] { return synth(*options); }; });
}

}  // namespace lotse::cli
