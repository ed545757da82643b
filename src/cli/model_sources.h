// What `lotse serve` serves: models and adapters as the command line names them.
#pragma once

#include <string>
#include <vector>

#include "server/model_registry.h"

namespace lotse::cli {

struct ModelChoice {
  std::vector<std::string> models;    // [NAME=]MODEL
  std::vector<std::string> pinned;    // names
  std::vector<std::string> adapters;  // [MODEL:]NAME=DIRECTORY; without a model, of the first
  std::string tool_format;            // of all; empty: as their chat templates show
  std::string draft_model;            // guesses for a single model; empty: none
};

// Finds the models, and says how each is loaded. A single one is pinned. Errors: a model that is
// not there; a name that is used twice, or unknown.
Result<std::vector<ModelSource>> model_sources(const ModelChoice& choice,
                                               const EngineOptions& engine,
                                               const ServingOptions& serving);

}  // namespace lotse::cli
