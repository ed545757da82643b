// Environment variables as values.
#pragma once

#include <cstdlib>
#include <string>

namespace lotse {

// Empty when the variable is not set.
inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace lotse
