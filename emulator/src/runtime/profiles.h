// The Ascend profiles of chips/, embedded at build time as TOML text.
#pragma once

#include <string>
#include <vector>

namespace lotse::emulator {

struct Profile {
  std::string name;  // the file's stem
  std::string text;
};

const std::vector<Profile>& embedded_chips();
const std::vector<Profile>& embedded_families();

}  // namespace lotse::emulator
