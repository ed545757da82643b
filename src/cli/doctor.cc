// lotse doctor: explains what Lotse finds on this machine and what it makes of it.
#include <fmt/core.h>
#include <langinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/environment.h"
#include "base/json.h"
#include "base/machine.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/hub.h"
#include "device/cpu/isa.h"
#include "device/registry.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

// One finding: a key and value for machines, a sentence for people, and what to do, if anything.
struct Finding {
  std::string key;
  Json value;
  std::string text;
  std::string advice;
};

struct Section {
  std::string title;
  std::vector<Finding> findings;
};

std::string bytes(int64_t count) { return format_bytes(static_cast<double>(count)); }

Section versions() {
  utsname system{};
  ::uname(&system);
  const std::string kernel =
      fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  return {"versions",
          {{"lotse", LOTSE_VERSION, LOTSE_VERSION, ""},
           {"compiler", __VERSION__, __VERSION__, ""},
           {"kernel", kernel, kernel, ""}}};
}

Section devices() {
  Section section{"devices", {}};
  for (const DeviceListing& device : list_devices()) {
    const bool is_usable = device.problem.empty();
    const std::string& text = is_usable ? device.description : device.problem;
    section.findings.push_back({device.name,
                                {{"usable", is_usable}, {"description", text}},
                                text,
                                is_usable ? "" : "this device cannot be used here"});
  }
  return section;
}

Section instruction_sets() {
  Section section{"instruction sets", {}};
  const auto chosen = cpu::choose_kernels();
  const std::string wanted = environment("LOTSE_ISA");
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    const bool is_chosen = chosen && *chosen == set.kernels;
    std::string text = set.missing.empty() ? "runs here" : "lacks " + set.missing;
    if (is_chosen) {
      text = wanted.empty() ? "chosen: the fastest that this processor runs"
                            : "chosen: LOTSE_ISA says so";
    }
    section.findings.push_back(
        {set.kernels->name,
         {{"chosen", is_chosen}, {"runs", set.missing.empty()}, {"missing", set.missing}},
         text,
         ""});
  }
  if (!chosen) {
    section.findings.push_back({"LOTSE_ISA", wanted, chosen.error().message, "unset LOTSE_ISA"});
  }
  return section;
}

Section processor() {
  const Processor cpu = read_processor();
  Section section{
      "processor",
      {{"model", cpu.model, cpu.model.empty() ? "unknown" : cpu.model, ""},
       {"online", cpu.online, fmt::format("{} hardware threads", cpu.online), ""},
       {"allowed", cpu.allowed,
        fmt::format("{} of them for this process, so {} compute threads", cpu.allowed, cpu.allowed),
        cpu.allowed < cpu.online ? "the affinity mask (taskset, a container) holds "
                                   "back the others"
                                 : ""},
       {"numa_nodes", cpu.nodes, fmt::format("memory nodes: {}", cpu.nodes),
        cpu.nodes > 1 ? "numactl --cpunodebind=0 --membind=0 keeps a small model on one" : ""}}};
  if (cpu.quota) {
    const bool short_of = *cpu.quota < cpu.allowed;
    section.findings.push_back(
        {"group_quota", *cpu.quota,
         fmt::format("{:.1f} cores granted by the control group", *cpu.quota),
         short_of ? fmt::format("--threads {} avoids being throttled",
                                std::max(1, static_cast<int>(std::floor(*cpu.quota))))
                  : ""});
  }
  return section;
}

Section memory() {
  const Memory memory = read_memory();
  const double usable = 0.9 * static_cast<double>(memory.usable());
  Section section{
      "memory",
      {{"total", memory.total, bytes(memory.total), ""},
       {"available", memory.available, bytes(memory.available), ""},
       {"fits", memory.usable(),
        fmt::format("models of about {:.1f} billion parameters in bf16, {:.1f} in w8a8, {:.1f} in "
                    "w4a16, less the cache",
                    usable / 2e9, usable / 1e9, usable / 0.53e9),
        "lotse inspect MODEL --target cpu tells for one model"},
       {"huge_pages", memory.huge_pages,
        memory.huge_pages.empty() ? "unknown" : "transparent huge pages: " + memory.huge_pages,
        memory.huge_pages == "never"
            ? "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled speeds up "
              "large weights"
            : ""}}};
  if (memory.group_left) {
    section.findings.push_back({"group_left", *memory.group_left,
                                bytes(*memory.group_left) + " until the control group's limit",
                                ""});
  }
  return section;
}

// Names of the models directly in a directory, and of those one level down (ORG/MODEL).
std::vector<std::string> models_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename();
    if (fs::exists(entry.path() / "config.json", ignored)) names.push_back(name);
    for (const auto& inner : fs::directory_iterator(entry.path(), ignored)) {
      if (fs::exists(inner.path() / "config.json", ignored)) {
        names.push_back(name + "/" + inner.path().filename().string());
      }
    }
  }
  std::ranges::sort(names);
  return names;
}

std::string free_space(fs::path directory) {
  std::error_code error;
  while (!fs::exists(directory, error) && directory.has_relative_path()) {
    directory = directory.parent_path();
  }
  const auto space = fs::space(directory.empty() ? "." : directory, error);
  return error ? "unknown" : bytes(static_cast<int64_t>(space.available));
}

Section models() {
  Section section{"models", {}};
  for (const fs::path& directory : models_directories()) {
    const auto names = models_in(directory);
    section.findings.push_back(
        {directory.string(), names,
         fmt::format("models: {}, free: {}", names.size(), free_space(directory)), ""});
  }
  std::error_code ignored;
  const bool has_cache = fs::is_directory(hub_cache(), ignored);
  section.findings.push_back({hub_cache().string(), has_cache,
                              has_cache ? "Hugging Face cache" : "Hugging Face cache, none there",
                              ""});
  const Hub hub = Hub::from_environment();
  section.findings.push_back({"endpoint", hub.endpoint, hub.endpoint, ""});
  section.findings.push_back({"token", !hub.token.empty(),
                              hub.token.empty() ? "no HF_TOKEN: public models only"
                                                : "HF_TOKEN is set and goes to the endpoint only",
                              ""});
  return section;
}

Section terminal() {
  std::setlocale(LC_CTYPE, "");
  const std::string charset = ::nl_langinfo(CODESET);
  const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  return {"terminal",
          {{"charset", charset, charset,
            charset == "UTF-8" ? "" : "LC_ALL=C.UTF-8 shows all characters"},
           {"term", environment("TERM"),
            environment("TERM").empty() ? "TERM is not set" : environment("TERM"), ""},
           {"progress", is_terminal,
            is_terminal ? "progress is shown" : "no progress: standard error is no terminal", ""}}};
}

void print(const std::vector<Section>& sections) {
  for (const Section& section : sections) {
    fmt::print("{}\n", section.title);
    for (const Finding& finding : section.findings) {
      fmt::print("  {:<12} {}\n", finding.key, finding.text);
      if (!finding.advice.empty()) fmt::print("  {:<12} -> {}\n", "", finding.advice);
    }
  }
}

Json to_json(const std::vector<Section>& sections) {
  Json json = Json::object();
  for (const Section& section : sections) {
    std::string key = section.title;
    std::ranges::replace(key, ' ', '_');
    for (const Finding& finding : section.findings) json[key][finding.key] = finding.value;
  }
  return json;
}

}  // namespace

void add_doctor(Commands& commands) {
  auto json = std::make_shared<bool>(false);
  CLI::App* app = commands.add("doctor", "Explain devices, instruction sets, memory and folders",
                               "  lotse doctor\n"
                               "  lotse doctor --json\n"
                               "  LOTSE_ISA=generic lotse doctor\n");
  app->add_flag("--json", *json, "Print one JSON object");
  app->callback([&commands, json] {
    commands.action = [json]() -> Result<int> {
      const std::vector<Section> sections = {versions(), devices(), instruction_sets(), processor(),
                                             memory(),   models(),  terminal()};
      if (*json) {
        fmt::print("{}\n", to_json(sections).dump(2));
      } else {
        print(sections);
      }
      return kOk;
    };
  });
}

}  // namespace lotse::cli
