// lotse inspect: what a model is, what a target makes of it, and what that costs.
#include <fmt/core.h>

#include <memory>

#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/inspect_source.h"
#include "cli/target_option.h"
#include "inspect/report.h"

namespace lotse::cli {
namespace {

struct InspectOptions {
  std::string model;
  std::string target;
  std::optional<int64_t> context;
  InspectLoad load;
  bool tensors = false;
  bool targets = false;
  bool json = false;
  SourceOptions source;
};

Result<int> list_targets() {
  std::vector<ChipProfile> chips;
  for (const std::string& name : chip_names()) chips.push_back(LOTSE_TRY(load_chip(name)));
  fmt::print("{}", markdown_table(chips));
  return kOk;
}

Result<int> list_tensors(const ModelFacts& model, bool json) {
  if (!model.has_weights) {
    return fail(ErrorCode::not_found, "{}: a configuration alone: --tensors needs the weight files",
                model.checkpoint.path.string());
  }
  if (json) {
    fmt::print("{}\n", tensors_json(model).dump(2));
  } else {
    fmt::print("{}", tensors_text(model));
  }
  return kOk;
}

// A model that Lotse cannot run is an answer too, for machines that ask about many.
Result<int> unsupported(const Error& error, const InspectOptions& options) {
  if (!options.json || error.code != ErrorCode::unsupported) return std::unexpected(error);
  const Json json = {
      {"supported", false}, {"needs_port", nullptr},    {"fits", false},
      {"chips", nullptr},   {"verdict", error.message}, {"operators", Json::array()}};
  fmt::print("{}\n", json.dump(2));
  return kFailed;
}

Result<int> inspect(InspectOptions options) {
  if (options.targets) return list_targets();
  std::optional<ChipProfile> chip;
  if (!options.target.empty()) chip = LOTSE_TRY(load_chip(options.target));
  if (!options.source.directory.empty()) {
    return inspect_source(options.source, chip ? &*chip : nullptr, options.json);
  }
  const auto model = examine_model(LOTSE_TRY(find_model(options.model)));
  if (!model) return unsupported(model.error(), options);
  if (options.tensors) return list_tensors(*model, options.json);
  options.load.context = std::min(options.context.value_or(4096), model->config.max_context);
  std::optional<TargetReport> report;
  if (chip) report = judge_target(*model, *chip, options.load);
  const TargetReport* target = report ? &*report : nullptr;
  if (options.json) {
    fmt::print("{}\n", report_json(*model, target).dump(2));
  } else {
    fmt::print("{}", report_text(*model, target));
  }
  return kOk;
}

}  // namespace

void add_inspect(Commands& commands) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* app = commands.add(
      "inspect", "Show what a model is and what a target makes of it, operator by operator",
      "  lotse inspect MODEL\n"
      "  lotse inspect MODEL --target ascend-910c --context 32768 --batch 8\n"
      "  lotse inspect config.json --target ascend-910b4 --quant w8a8 --json\n"
      "  lotse inspect MODEL --tensors\n"
      "  lotse inspect --source DIR --target ascend-910b3 --patch renames.patch\n"
      "  lotse inspect --list-targets\n");
  CLI::Option* model = app->add_option(
      "MODEL", options->model,
      "Path (a config.json alone will do), name in the models directory, or ORG/MODEL");
  add_target(app, options->target, "A chip (see --list-targets), or a profile's .toml");
  app->add_option("--context", options->context,
                  "Tokens of each sequence, at most the model's own; default 4096")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 28));
  app->add_option("--batch", options->load.batch, "Sequences at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->capture_default_str();
  app->add_option("--quant", options->load.quant, "Judge it as `lotse port --quant` would make it")
      ->check(CLI::IsMember({"bf16", "w8a8", "w4a16", "w4a8"}));
  app->add_flag("--tensors", options->tensors, "List the tensors: name, dtype, shape, size");
  app->add_flag("--list-targets", options->targets, "List the chips with their main numbers");
  add_source(app, options->source)->excludes(model);
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([&commands, options, model] {
    if (model->empty() && !options->targets && options->source.directory.empty()) {
      throw CLI::RequiredError("MODEL, --source or --list-targets");
    }
    commands.action = [options] { return inspect(*options); };
  });
}

}  // namespace lotse::cli
