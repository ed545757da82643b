// A progress bar on standard error, shown only on a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace lotse {

// One line that is redrawn at most ten times a second: label, bar, percent, time left, detail.
// Silent when standard error is not a terminal. Not thread-safe.
class Progress {
 public:
  // `total` in any unit; `unit_bytes` shows amounts as MiB/GiB and a rate.
  Progress(std::string label, int64_t total, bool unit_bytes = false);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  // `done` counts from 0 to total and never needs to fall; `detail` names what is being done.
  void update(int64_t done, std::string_view detail = {});

 private:
  void draw(std::string_view detail);

  std::string label_;
  int64_t total_;
  bool unit_bytes_;
  bool enabled_;
  bool drawn_ = false;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_draw_;
};

// "1.5 GiB", "12 KiB".
std::string format_bytes(double bytes);

}  // namespace lotse
