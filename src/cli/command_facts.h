// The commands and their options as data, from the declarations that parse them: what completion
// and the manual page are made of.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>
#include <vector>

namespace lotse::cli {

struct OptionFacts {
  std::vector<std::string> names;    // "-p", "--prompt"; empty for a positional argument
  std::string label;                 // of a positional argument: "MODEL"
  std::string description;           // one line
  std::vector<std::string> choices;  // what its validator admits, where that is a list
  bool takes_value = false;
};

struct CommandFacts {
  std::string name;
  std::string description;
  std::vector<OptionFacts> options;
  std::string examples;  // one a line
};

// Every command, in the order of declaration; commands without a group are for the build alone and
// left out.
std::vector<CommandFacts> command_facts(const CLI::App& app);

}  // namespace lotse::cli
