// lotse manual: prints the manual page, for the build; people read it with `man lotse`.
#include <fmt/core.h>

#include "cli/cli.h"
#include "cli/command_facts.h"

namespace lotse::cli {
namespace {

// Text as roff shows it literally (groff_char(7), and no line is taken for a request).
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const bool begins_line = escaped.empty() || escaped.back() == '\n';
    if (begins_line && (c == '.' || c == '\'')) escaped += "\\&";
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string option_heading(const OptionFacts& option) {
  std::string heading = option.label;
  for (const std::string& name : option.names) heading += (heading.empty() ? "" : ", ") + name;
  std::string choices;
  for (const std::string& choice : option.choices) choices += (choices.empty() ? "" : "|") + choice;
  if (!option.names.empty() && option.takes_value) {
    heading += " " + (choices.empty() ? "VALUE" : choices);
  }
  return heading;
}

std::string command_section(const CommandFacts& command) {
  std::string text = fmt::format(".SS lotse {}\n{}.\n", command.name, roff(command.description));
  for (const OptionFacts& option : command.options) {
    text += fmt::format(".TP\n.B {}\n{}\n", roff(option_heading(option)), roff(option.description));
  }
  return text + fmt::format(".PP\nExamples:\n.PP\n.nf\n{}.fi\n", roff(command.examples));
}

constexpr const char* kIntroduction =
    ".SH DESCRIPTION\n"
    "Lotse brings AI models trained on Nvidia hardware safely onto other hardware: Huawei Ascend\n"
    "first, any CPU by default. It inspects a checkpoint for a target, ports it, verifies the "
    "port\n"
    "against the original, and runs it. MODEL is a path, a name in a models directory, or "
    "ORG/MODEL\n"
    "in the Hugging Face cache.\n";

constexpr const char* kClosing =
    ".SH EXIT STATUS\n"
    "0 when done, 1 when something failed or a check did not pass, 2 for wrong usage.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B LOTSE_MODELS\n"
    "The models directory; default $XDG_DATA_HOME/lotse/models or ~/.local/share/lotse/models.\n"
    ".TP\n.B LOTSE_ISA\n"
    "The instruction set of the cpu device, instead of the fastest.\n"
    ".TP\n.B HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE\n"
    "The hub to pull from, the token to show it, and where Hugging Face tools keep their files.\n";

}  // namespace

void add_manual(Commands& commands) {
  CLI::App* app = commands.add("manual", "Print the manual page", "  lotse manual | man -l -\n");
  app->group("");
  app->callback([&commands] {
    commands.action = [&commands]() -> Result<int> {
      fmt::print(".TH LOTSE 1 \"\" \"lotse {}\" \"User commands\"\n", LOTSE_VERSION);
      fmt::print(".SH NAME\nlotse \\- port AI models to other hardware\n");
      fmt::print(".SH SYNOPSIS\n.B lotse\nCOMMAND [ARGUMENTS]\n{}.SH COMMANDS\n", kIntroduction);
      for (const CommandFacts& command : command_facts(commands.app)) {
        fmt::print("{}", command_section(command));
      }
      fmt::print("{}", kClosing);
      return kOk;
    };
  });
}

}  // namespace lotse::cli
