#include "base/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace lotse {

Progress::Progress(std::string label, int64_t total, bool unit_bytes)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      unit_bytes_(unit_bytes),
      enabled_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::update(int64_t done, std::string_view detail) {
  done_ = std::clamp<int64_t>(done, 0, total_);
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && done_ < total_ && now - last_draw_ < std::chrono::milliseconds(100)) return;
  last_draw_ = now;
  draw(detail);
}

void Progress::draw(std::string_view detail) {
  constexpr int kWidth = 28;
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const int filled = static_cast<int>(share * kWidth);
  const double seconds = std::chrono::duration<double>(last_draw_ - start_).count();
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  std::string line = fmt::format("\r\x1b[K{} {} {:3.0f}%", label_, bar, share * 100);
  if (unit_bytes_) {
    line += fmt::format(" {}", format_bytes(static_cast<double>(done_)));
    if (seconds > 0.5)
      line += fmt::format(" {}/s", format_bytes(static_cast<double>(done_) / seconds));
  }
  if (share > 0.01 && share < 1 && seconds > 0.5) {
    line += fmt::format(" {:.0f} s left", seconds / share * (1 - share));
  }
  if (!detail.empty()) line += fmt::format(" {}", detail.substr(0, 48));
  fmt::print(stderr, "{}", line);
  std::fflush(stderr);
  drawn_ = true;
}

std::string format_bytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 2, kUnits[unit]);
}

}  // namespace lotse
