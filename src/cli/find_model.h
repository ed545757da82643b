// Where a model named on the command line lives.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace lotse::cli {

// Looks for MODEL as a path, then as a name in the models directories (LOTSE_MODELS, the user's
// data directory, ./models), then as org/model in the Hugging Face cache (HF_HUB_CACHE, HF_HOME,
// ~/.cache/huggingface). When it is not found, the message lists the exact places looked at.
Result<std::filesystem::path> find_model(const std::string& model);

// Where `lotse pull` puts models and a plain name is looked up: LOTSE_MODELS, else
// $XDG_DATA_HOME/lotse/models, else ~/.local/share/lotse/models.
std::filesystem::path models_directory();

}  // namespace lotse::cli
