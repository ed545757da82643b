#include "cli/inspect_source.h"

#include <fmt/core.h>

#include "base/atomic_file.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "source/report.h"

namespace lotse::cli {

CLI::Option* add_source(CLI::App* inspect, SourceOptions& options) {
  CLI::Option* source =
      inspect->add_option("--source", options.directory,
                          "A source tree instead of a model: what ties it to Nvidia, and what "
                          "does the same on Ascend");
  inspect->add_option("--patch", options.patch, "Write a diff of the renames that --source found")
      ->needs(source);
  return source;
}

Result<int> inspect_source(const SourceOptions& options, const ChipProfile* chip, bool json) {
  std::optional<SourceTarget> target;
  if (chip != nullptr) {
    if (chip->vendor != "huawei") {
      return fail(ErrorCode::unsupported,
                  "--source knows the way to Ascend only; {} is no Ascend chip", chip->name);
    }
    target = SourceTarget{chip->title, chip->matmul};
  }
  std::optional<Progress> bar;
  const SourceProgress progress = [&bar](size_t done, size_t total, std::string_view path) {
    if (!bar) bar.emplace("reading", static_cast<int64_t>(total));
    bar->update(static_cast<int64_t>(done), path);
  };
  const SourceReport report = LOTSE_TRY(
      examine_tree(options.directory, RuleTable::builtin(), target ? &*target : nullptr, progress));
  bar.reset();
  if (!options.patch.empty()) LOTSE_TRY(write_file_atomically(options.patch, report.patch));
  if (json) {
    fmt::print("{}\n", source_json(report).dump(2));
  } else {
    fmt::print("{}", source_text(report));
  }
  return kOk;
}

}  // namespace lotse::cli
