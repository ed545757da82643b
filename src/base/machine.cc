#include "base/machine.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

// Files of /proc and /sys report no size, so they are read to their end. Empty when unreadable.
std::string read_all(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<int64_t> read_integer(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// The value after "KEY…: " on the first line that starts with KEY.
std::string field(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

int64_t kibibytes(const std::string& meminfo, std::string_view key) {
  return read_integer(field(meminfo, key)).value_or(0) * 1024;
}

// This process's group in the unified hierarchy, and all above it; a limit of any of them holds.
std::vector<fs::path> control_groups(const fs::path& root) {
  const fs::path top = root / "sys/fs/cgroup";
  std::istringstream lines(read_all(root / "proc/self/cgroup"));
  fs::path group = top;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::/")) group = top / line.substr(4);
  }
  std::vector<fs::path> groups;
  for (fs::path path = group.lexically_normal(); path != top && path.has_relative_path();
       path = path.parent_path()) {
    groups.push_back(path);
  }
  groups.push_back(top);
  return groups;
}

std::optional<double> group_quota(const fs::path& group) {
  std::istringstream words(read_all(group / "cpu.max"));
  std::string quota;
  double period = 0;
  const auto limit = words >> quota >> period ? read_integer(quota) : std::nullopt;
  if (!limit || period <= 0) return std::nullopt;
  return static_cast<double>(*limit) / period;
}

// Bytes until the group's limit; page cache that it holds counts as free.
std::optional<int64_t> group_memory_left(const fs::path& group) {
  const auto limit = read_integer(read_all(group / "memory.max"));
  if (!limit) return std::nullopt;
  const int64_t used = read_integer(read_all(group / "memory.current")).value_or(0);
  std::istringstream stat(read_all(group / "memory.stat"));
  int64_t cache = 0;
  std::string key;
  for (int64_t value = 0; stat >> key >> value;) {
    if (key == "inactive_file") cache = value;
  }
  return std::max<int64_t>(*limit - used + cache, 0);
}

int numa_nodes(const fs::path& root) {
  int nodes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("node") && name.find_first_not_of("0123456789", 4) == std::string::npos) {
      ++nodes;
    }
  }
  return std::max(nodes, 1);
}

// "always [madvise] never": the word in brackets.
std::string chosen_word(const std::string& text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) return "";
  return text.substr(open + 1, close - open - 1);
}

}  // namespace

Processor read_processor(const fs::path& root) {
  Processor processor;
  processor.model = field(read_all(root / "proc/cpuinfo"), "model name");
  processor.online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  processor.allowed = available_cores();
  processor.nodes = numa_nodes(root);
  for (const fs::path& group : control_groups(root)) {
    const auto quota = group_quota(group);
    if (quota) processor.quota = std::min(processor.quota.value_or(*quota), *quota);
  }
  return processor;
}

Memory read_memory(const fs::path& root) {
  Memory memory;
  const std::string meminfo = read_all(root / "proc/meminfo");
  memory.total = kibibytes(meminfo, "MemTotal");
  memory.available = kibibytes(meminfo, "MemAvailable");
  memory.huge_pages = chosen_word(read_all(root / "sys/kernel/mm/transparent_hugepage/enabled"));
  for (const fs::path& group : control_groups(root)) {
    const auto left = group_memory_left(group);
    if (left) memory.group_left = std::min(memory.group_left.value_or(*left), *left);
  }
  return memory;
}

}  // namespace lotse
