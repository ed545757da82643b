// lotse completion: scripts that complete commands, options and their choices, generated from the
// declared options themselves.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "cli/cli.h"
#include "cli/command_facts.h"

namespace lotse::cli {
namespace {

std::string join(const std::vector<std::string>& words, std::string_view separator = " ") {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// As a word between single quotes of bash and zsh, and of fish.
std::string quoted(const std::string& text) { return "'" + replace_all(text, "'", "'\\''") + "'"; }
std::string quoted_fish(const std::string& text) {
  return "'" + replace_all(replace_all(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::vector<std::string> names_of(const std::vector<CommandFacts>& commands) {
  std::vector<std::string> names;
  for (const CommandFacts& command : commands) names.push_back(command.name);
  return names;
}

std::vector<std::string> option_names(const CommandFacts& command) {
  std::vector<std::string> names;
  for (const OptionFacts& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

// The choices of all positional arguments of a command.
std::vector<std::string> positional_choices(const CommandFacts& command) {
  std::vector<std::string> choices;
  for (const OptionFacts& option : command.options) {
    if (!option.names.empty()) continue;
    choices.insert(choices.end(), option.choices.begin(), option.choices.end());
  }
  return choices;
}

std::string bash_command(const CommandFacts& command) {
  std::string text = fmt::format("    {})\n      case $previous in\n", command.name);
  std::vector<std::string> free_values;
  for (const OptionFacts& option : command.options) {
    if (!option.takes_value || option.names.empty()) continue;
    if (option.choices.empty()) {
      free_values.insert(free_values.end(), option.names.begin(), option.names.end());
      continue;
    }
    text += fmt::format("        {}) words={} ;;\n", join(option.names, "|"),
                        quoted(join(option.choices)));
  }
  if (!free_values.empty()) text += fmt::format("        {}) ;;\n", join(free_values, "|"));
  text +=
      fmt::format("        *)\n          words={}\n", quoted(join(positional_choices(command))));
  text += fmt::format(
      "          [[ $current == -* ]] && words={}\n          ;;\n      esac\n      ;;\n",
      quoted(join(option_names(command))));
  return text;
}

std::string bash_script(const std::vector<CommandFacts>& commands) {
  std::string text =
      "# bash completion of lotse. Where nothing matches, bash completes file names.\n"
      "_lotse() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=\n"
      "  local command=${COMP_WORDS[1]}\n"
      "  [[ $COMP_CWORD -gt 1 ]] || command=\n"
      "  case $command in\n";
  text +=
      fmt::format("    '') words={} ;;\n", quoted(join(names_of(commands)) + " --help --version"));
  for (const CommandFacts& command : commands) text += bash_command(command);
  text +=
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o default -F _lotse lotse\n";
  return text;
}

// One argument of zsh's _arguments.
std::string zsh_option(const OptionFacts& option) {
  const std::string values = option.choices.empty() ? "_files" : "(" + join(option.choices) + ")";
  if (option.names.empty()) return quoted("*::argument:" + values);
  std::string description = option.description;
  for (const char* special : {"[", "]", ":"}) {
    description = replace_all(description, special, "\\" + std::string(special));
  }
  const std::string value = option.takes_value ? ":value:" + values : "";
  const std::string names =
      option.names.size() == 1 ? option.names[0] : "{" + join(option.names, ",") + "}";
  return fmt::format("{}{}", names, quoted("[" + description + "]" + value));
}

std::string zsh_script(const std::vector<CommandFacts>& commands) {
  std::string text =
      "#compdef lotse\n"
      "_lotse() {\n"
      "  local -a commands=(\n";
  for (const CommandFacts& command : commands) {
    text += fmt::format("    {}\n",
                        quoted(command.name + ":" + replace_all(command.description, ":", "\\:")));
  }
  text +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n";
  for (const CommandFacts& command : commands) {
    text += fmt::format("    {})\n      _arguments", command.name);
    bool positional = false;
    for (const OptionFacts& option : command.options) {
      if (option.names.empty() && std::exchange(positional, true)) continue;
      text += " \\\n        " + zsh_option(option);
    }
    text += "\n      ;;\n";
  }
  text +=
      "  esac\n"
      "}\n"
      "if [[ $funcstack[1] == _lotse ]]; then _lotse \"$@\"; else compdef _lotse lotse; fi\n";
  return text;
}

std::string fish_option(const CommandFacts& command, const OptionFacts& option) {
  std::string line =
      fmt::format("complete -c lotse -n '__fish_seen_subcommand_from {}'", command.name);
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.choices.empty()) line += " -f -a " + quoted_fish(join(option.choices));
  if (option.takes_value && !option.names.empty()) line += " -r";
  return line + " -d " + quoted_fish(option.description) + "\n";
}

std::string fish_script(const std::vector<CommandFacts>& commands) {
  std::string text = "# fish completion of lotse.\n";
  for (const CommandFacts& command : commands) {
    text += fmt::format("complete -c lotse -f -n __fish_use_subcommand -a {} -d {}\n", command.name,
                        quoted_fish(command.description));
    for (const OptionFacts& option : command.options) {
      if (option.names.empty() && option.choices.empty()) continue;
      text += fish_option(command, option);
    }
  }
  return text;
}

}  // namespace

void add_completion(Commands& commands) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app = commands.add("completion", "Print a completion script for a shell",
                               "  source <(lotse completion bash)\n"
                               "  lotse completion zsh > ~/.zfunc/_lotse\n"
                               "  lotse completion fish > ~/.config/fish/completions/lotse.fish\n");
  app->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app->callback([&commands, shell] {
    commands.action = [&commands, shell]() -> Result<int> {
      const auto facts = command_facts(commands.app);
      const std::string script = *shell == "bash"  ? bash_script(facts)
                                 : *shell == "zsh" ? zsh_script(facts)
                                                   : fish_script(facts);
      fmt::print("{}", script);
      return kOk;
    };
  });
}

}  // namespace lotse::cli
