// Where a model runs: the options that commands share.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "engine/engine.h"

namespace lotse::cli {

// Declares --device, --tp and --threads on `command`. `options` must live as long.
void add_placement(CLI::App& command, EngineOptions& options);

}  // namespace lotse::cli
