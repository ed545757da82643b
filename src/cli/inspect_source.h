// lotse inspect --source: what ties a source tree to Nvidia.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include "base/result.h"
#include "chip/profile.h"

namespace lotse::cli {

struct SourceOptions {
  std::string directory;  // empty without --source
  std::string patch;
};

// Declares --source and --patch on `inspect`; gives --source.
CLI::Option* add_source(CLI::App* inspect, SourceOptions& options);

// `chip` may be null; another vendor's than Huawei is unsupported.
Result<int> inspect_source(const SourceOptions& options, const ChipProfile* chip, bool json);

}  // namespace lotse::cli
