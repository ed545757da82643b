// What the operating system says about this machine, as far as it decides how a model runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lotse {

struct Processor {
  std::string model;            // "Intel(R) Xeon(R) …", may be empty
  int online = 0;               // hardware threads that are switched on
  int allowed = 0;              // of these, in this process's affinity mask
  int nodes = 1;                // NUMA nodes
  std::optional<double> quota;  // cores that the control group grants, when it limits them
};

struct Memory {
  int64_t total = 0;
  int64_t available = 0;              // free, or free at once
  std::optional<int64_t> group_left;  // until the control group's limit, when it has one
  std::string huge_pages;             // transparent ones: "always", "madvise", "never", or empty

  // What a model may take here.
  int64_t usable() const { return group_left ? std::min(*group_left, available) : available; }
};

// `root` replaces "/" in tests; it has proc/ and sys/ as Linux does.
Processor read_processor(const std::filesystem::path& root = "/");
Memory read_memory(const std::filesystem::path& root = "/");

}  // namespace lotse
