// A smaller model that guesses what a larger one will say (Leviathan et al. 2023; Chen et al.
// 2023).
#pragma once

#include <filesystem>
#include <memory>

#include "engine/drafter.h"
#include "engine/engine.h"

namespace lotse {

struct TargetAndDraft {
  std::unique_ptr<Engine> target;
  std::unique_ptr<Engine> draft;
};

// Opens a model and another one to draft for it, both on the device of `options`, under one memory
// plan (that of the target); a draft model is not divided among ranks. Errors: those of
// Engine::open() for either; unsupported where the two have different vocabularies.
Result<TargetAndDraft> open_with_draft(const std::filesystem::path& target,
                                       const std::filesystem::path& draft,
                                       const EngineOptions& options);

// Drafts with a model that has the target's vocabulary. It keeps a cache of its own, in which it
// computes what a sequence has gained since its last draft; without `prefix_cache`, every sequence
// anew. Tokens are drawn as the target would; see GuessChooser.
std::unique_ptr<Drafter> make_model_drafter(std::unique_ptr<Engine> draft, DraftRule rule,
                                            bool prefix_cache);

}  // namespace lotse
