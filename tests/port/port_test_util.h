// What the tests of porting share: folders, golden models, and ports of them.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include "port/port.h"

namespace lotse {

// A folder that exists as long as its object; in memory where the machine has such a place, for the
// tests that write thousands of files.
class ScratchFolder {
 public:
  ScratchFolder() {
    const std::filesystem::path memory = "/dev/shm";
    const bool has_memory = ::access(memory.c_str(), W_OK) == 0;
    std::string name =
        ((has_memory ? memory : std::filesystem::temp_directory_path()) / "lotse-port-XXXXXX")
            .string();
    if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "cannot create " << name;
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(LOTSE_SOURCE_DIR) / "tests" / "golden" / name;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Every file below a folder, by relative name.
inline std::map<std::string, std::string> contents(const std::filesystem::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    all[entry.path().lexically_relative(folder).generic_string()] = read_bytes(entry.path());
  }
  return all;
}

// A folder with config, weights and companions of a golden case, without the golden data.
inline std::filesystem::path copy_model(const std::filesystem::path& scratch,
                                        std::string_view name) {
  const std::filesystem::path folder = scratch / "model";
  std::filesystem::create_directory(folder);
  for (const auto& entry : std::filesystem::directory_iterator(golden(name))) {
    if (entry.path().filename().string().starts_with("golden")) continue;
    std::filesystem::copy(entry.path(), folder / entry.path().filename());
  }
  write_bytes(folder / "tokenizer.json", "{\"version\": \"1.0\"}");
  write_bytes(folder / "chat_template.jinja", "{{ messages }}");
  std::filesystem::create_directory(folder / "additional_chat_templates");
  write_bytes(folder / "additional_chat_templates" / "tools.jinja", "{{ tools }}");
  return folder;
}

struct PortSettings {
  std::string target = "cpu";
  WeightFormat quant = WeightFormat::w8a8;
  int64_t shard_bytes = int64_t{4} << 30;
  int threads = 2;
  FileCalls* calls = nullptr;
};

inline Result<PortResult> port(const std::filesystem::path& model, const std::filesystem::path& out,
                               const PortSettings& settings = {}) {
  PortRequest request;
  request.model = model;
  request.out = out;
  request.options.quant = settings.quant;
  request.options.shard_bytes = settings.shard_bytes;
  request.threads = settings.threads;
  request.calls = settings.calls;
  static std::map<std::string, ChipProfile> chips;
  const auto [chip, is_new] = chips.try_emplace(settings.target);
  if (is_new) chip->second = load_chip(settings.target).value();
  return port_model(request, chip->second);
}

}  // namespace lotse
