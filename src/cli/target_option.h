// --target, as every command that asks for a chip takes it.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

namespace lotse::cli {

// Declares --target on `command`: the name of a known chip or the path of a profile (.toml).
// Another name is wrong usage.
CLI::Option* add_target(CLI::App* command, std::string& target, const std::string& description);

}  // namespace lotse::cli
