// Exact mode for what is loaded while the object lives.
#pragma once

#include <cstdlib>

namespace lotse {

class ExactMode {
 public:
  explicit ExactMode(const char* value = "f32") { setenv(kName, value, 1); }
  ExactMode(const ExactMode&) = delete;
  ExactMode& operator=(const ExactMode&) = delete;
  ~ExactMode() { unsetenv(kName); }

 private:
  static constexpr const char* kName = "LOTSE_ASCEND_ACTIVATIONS";
};

}  // namespace lotse
