// Where a model named on the command line lives.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace lotse::cli {

// Looks for MODEL as a path, then as a name in each of models_directories(), then as org/model in
// hub_cache(). When it is not found, the message lists the exact places looked at.
Result<std::filesystem::path> find_model(const std::string& model);

// Where `lotse pull` puts models and a plain name is looked up: LOTSE_MODELS, else
// $XDG_DATA_HOME/lotse/models, else ~/.local/share/lotse/models.
std::filesystem::path models_directory();

// Where a plain name is looked up, in order: models_directory(), ./models, and what was installed
// beside the program.
std::vector<std::filesystem::path> models_directories();

// Where Hugging Face tools keep what they know: HF_HOME, else ~/.cache/huggingface.
std::filesystem::path hub_home();

// The models they downloaded: HF_HUB_CACHE, else hub_home()/hub.
std::filesystem::path hub_cache();

}  // namespace lotse::cli
