// lotse pull: downloads a model from a hub, resumably and checked.
#include <fmt/core.h>

#include <memory>
#include <numeric>

#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/find_model.h"
#include "cli/hub.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

struct PullOptions {
  std::string model;
  std::string revision = "main";
  std::vector<std::string> include;
  RetryPolicy retry;
  bool json = false;
};

int64_t total_bytes(const std::vector<HubFile>& files) {
  return std::accumulate(
      files.begin(), files.end(), int64_t{0},
      [](int64_t sum, const HubFile& file) { return sum + std::max<int64_t>(file.size, 0); });
}

// The files that are not here yet, or not right.
Result<std::vector<HubFile>> missing_files(const std::vector<HubFile>& files,
                                           const fs::path& directory) {
  Progress progress("checking what is here", total_bytes(files), true);
  std::vector<HubFile> missing;
  int64_t seen = 0;
  for (const HubFile& file : files) {
    progress.update(seen, file.path);
    if (!LOTSE_TRY(is_complete(directory / file.path, file))) missing.push_back(file);
    seen += std::max<int64_t>(file.size, 0);
  }
  return missing;
}

// A directory without config.json does not look like a model, so it goes first when anything is
// missing and comes back last.
void hide_while_incomplete(const std::vector<HubFile>& files, const fs::path& directory,
                           std::vector<HubFile>& missing) {
  if (missing.empty() || missing.back().path == "config.json") return;
  std::error_code ignored;
  fs::remove(directory / "config.json", ignored);
  if (files.back().path == "config.json") missing.push_back(files.back());
}

Result<void> check_space(const std::vector<HubFile>& files, const fs::path& directory) {
  int64_t needed = total_bytes(files);
  for (const HubFile& file : files) needed -= partial_bytes(directory / file.path);
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return fail(ErrorCode::io, "{}: cannot create the directory: {}; LOTSE_MODELS names another",
                directory.string(), error.message());
  }
  const auto space = fs::space(directory, error);
  if (error || static_cast<int64_t>(space.available) >= needed) return {};
  return fail(ErrorCode::io,
              "{}: {} more are needed, {} are free; LOTSE_MODELS names another directory",
              directory.string(), format_bytes(static_cast<double>(needed)),
              format_bytes(static_cast<double>(space.available)));
}

Result<void> download_all(HttpClient& http, const Hub& hub, const HubModel& model,
                          const std::vector<HubFile>& files, const fs::path& directory,
                          const RetryPolicy& retry) {
  Progress progress(model.repository, total_bytes(files), true);
  int64_t before = 0;
  for (const HubFile& file : files) {
    LOTSE_TRY(download_file(http, hub, model, file, directory / file.path, retry,
                            [&](int64_t bytes) { progress.update(before + bytes, file.path); }));
    before += std::max<int64_t>(file.size, 0);
  }
  return {};
}

Result<int> pull(const PullOptions& options) {
  HttpClient http;
  const Hub hub = Hub::from_environment();
  const HubModel model =
      LOTSE_TRY(list_model(http, hub, options.model, options.revision, options.retry));
  const auto files = LOTSE_TRY(choose_files(model, options.include));
  const fs::path directory = models_directory() / options.model;
  auto missing = LOTSE_TRY(missing_files(files, directory));
  hide_while_incomplete(files, directory, missing);
  LOTSE_TRY(check_space(missing, directory));
  LOTSE_TRY(download_all(http, hub, model, missing, directory, options.retry));
  if (options.json) {
    Json names = Json::array();
    for (const HubFile& file : files) names.push_back(file.path);
    fmt::print("{}\n", Json({{"path", directory.string()},
                             {"revision", model.revision},
                             {"files", names},
                             {"downloaded", missing.size()},
                             {"bytes", total_bytes(files)}})
                           .dump(2));
  } else {
    fmt::print("{}: {} files, {}, {} of them downloaded now\nTry: lotse run {}\n",
               directory.string(), files.size(),
               format_bytes(static_cast<double>(total_bytes(files))), missing.size(),
               options.model);
  }
  return kOk;
}

}  // namespace

void add_pull(Commands& commands) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* app =
      commands.add("pull", "Download a model, resumably, with every file checked",
                   "  lotse pull Qwen/Qwen3-0.6B\n"
                   "  lotse pull ORG/MODEL --revision v1.0\n"
                   "  lotse pull ORG/MODEL-GGUF --include '*Q4_K_M*'\n"
                   "  HF_ENDPOINT=https://mirror.example HF_TOKEN=... lotse pull ORG/MODEL\n");
  app->add_option("MODEL", options->model, "ORG/MODEL on the hub")->required();
  app->add_option("--revision", options->revision, "Branch, tag or commit")->capture_default_str();
  app->add_option("--include", options->include,
                  "Glob of the weight files to take instead of the default; may be repeated")
      ->allow_extra_args(false);
  app->add_option("--retries", options->retry.retries, "Attempts after a failed one")
      ->check(CLI::Range(0, 20))
      ->capture_default_str();
  app->add_flag("--json", options->json, "Print one JSON object when done");
  app->callback([&commands, options] { commands.action = [options] { return pull(*options); }; });
}

}  // namespace lotse::cli
