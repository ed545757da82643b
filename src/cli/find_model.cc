#include "cli/find_model.h"
#include "base/environment.h"

#include <cstdlib>
#include <vector>

#include "base/mmap.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

// A model directory, a weight file, or a config.json.
bool is_model(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return true;
  if (!fs::is_directory(path, ignored)) return false;
  if (fs::exists(path / "config.json", ignored)) return true;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    if (entry.path().extension() == ".gguf") return true;
  }
  return false;
}

fs::path home() {
  const std::string home = environment("HOME");
  return home.empty() ? "." : home;
}

// What `make install` and the Debian package put beside the program: PREFIX/share/lotse/models.
fs::path installed_models() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path().parent_path() / "share" /
         "lotse" / "models";
}

}  // namespace

fs::path hub_home() {
  if (!environment("HF_HOME").empty()) return environment("HF_HOME");
  return home() / ".cache" / "huggingface";
}

fs::path hub_cache() {
  if (!environment("HF_HUB_CACHE").empty()) return environment("HF_HUB_CACHE");
  return hub_home() / "hub";
}

namespace {

// models--org--name/snapshots/<revision>: what refs/main says, else any snapshot.
fs::path hub_snapshot(const std::string& model) {
  const size_t slash = model.find('/');
  if (slash == std::string::npos || model.find('/', slash + 1) != std::string::npos) return {};
  const fs::path repository =
      hub_cache() / ("models--" + model.substr(0, slash) + "--" + model.substr(slash + 1));
  if (const auto revision = read_text_file(repository / "refs" / "main", 200)) {
    const std::string name = revision->substr(0, revision->find_last_not_of(" \n\r") + 1);
    if (name.find('/') == std::string::npos) return repository / "snapshots" / name;
  }
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(repository / "snapshots", ignored)) {
    return entry.path();
  }
  return repository / "snapshots";
}

}  // namespace

fs::path models_directory() {
  if (!environment("LOTSE_MODELS").empty()) return environment("LOTSE_MODELS");
  const std::string data = environment("XDG_DATA_HOME");
  return (data.empty() ? home() / ".local" / "share" : fs::path(data)) / "lotse" / "models";
}

std::vector<fs::path> models_directories() {
  return {models_directory(), "models", installed_models()};
}

Result<fs::path> find_model(const std::string& model) {
  std::vector<fs::path> places = {model};
  for (const fs::path& directory : models_directories()) places.push_back(directory / model);
  const fs::path snapshot = hub_snapshot(model);
  if (!snapshot.empty()) places.push_back(snapshot);
  std::string looked;
  for (const fs::path& place : places) {
    if (is_model(place)) return place;
    looked += "\n  " + place.string();
  }
  return fail(ErrorCode::not_found,
              "model \"{}\" not found; looked for a directory with config.json, a weight file or a "
              "GGUF at{}\n`lotse pull ORG/MODEL` downloads one",
              model, looked);
}

}  // namespace lotse::cli
