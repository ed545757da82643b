// The profiles that the build embeds: chips/*.toml and chips/families/*.toml.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace lotse {

struct BuiltinFile {
  std::string_view name;  // "ascend-910b2", "families/ascend-910"
  std::string_view text;
};

// Sorted by name.
std::span<const BuiltinFile> builtin_files();
std::optional<std::string_view> builtin_chip(std::string_view name);

}  // namespace lotse
