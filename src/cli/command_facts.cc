#include "cli/command_facts.h"

#include <algorithm>
#include <sstream>

namespace lotse::cli {
namespace {

// The choices of a validator, which CLI11 shows in the type name: "TEXT:{bash,zsh,fish}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{');
  const size_t close = type.rfind('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  std::istringstream list(type.substr(open + 1, close - open - 1));
  std::vector<std::string> choices;
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

OptionFacts facts_of(const CLI::Option& option) {
  OptionFacts facts;
  for (const std::string& name : option.get_snames()) facts.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) facts.names.push_back("--" + name);
  facts.label = facts.names.empty() ? option.get_name() : "";
  facts.description = option.get_description();
  facts.choices = choices_of(option);
  facts.takes_value = option.get_items_expected_max() > 0;
  return facts;
}

void add_options(const CLI::App& command, std::vector<OptionFacts>& options) {
  for (const CLI::Option* option : command.get_options()) options.push_back(facts_of(*option));
  const auto all = [](const CLI::App*) { return true; };
  for (const CLI::App* group : command.get_subcommands(all)) add_options(*group, options);
}

}  // namespace

std::vector<CommandFacts> command_facts(const CLI::App& app) {
  std::vector<CommandFacts> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_group().empty()) continue;
    CommandFacts facts{command->get_name(), command->get_description(), {}, {}};
    add_options(*command, facts.options);
    const std::string footer = command->get_footer();
    facts.examples = footer.substr(std::min(footer.find('\n') + 1, footer.size()));
    commands.push_back(std::move(facts));
  }
  return commands;
}

}  // namespace lotse::cli
