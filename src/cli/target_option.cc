#include "cli/target_option.h"

#include <fmt/format.h>

#include <algorithm>

#include "chip/profile.h"

namespace lotse::cli {

CLI::Option* add_target(CLI::App* command, std::string& target, const std::string& description) {
  const auto check = [](const std::string& name) -> std::string {
    const auto known = chip_names();
    if (name.ends_with(".toml") || std::ranges::find(known, name) != known.end()) return "";
    return fmt::format("no chip is called \"{}\"; known: {} (or a path to a .toml)", name,
                       fmt::join(known, ", "));
  };
  return command->add_option("--target", target, description)
      ->check(CLI::Validator(check, fmt::format("{{{}}}", fmt::join(chip_names(), ",")), "chip"));
}

}  // namespace lotse::cli
