#include "device/weight.h"

#include "base/checked.h"

namespace lotse {

std::string_view name(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::f16:
      return "f16";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::w8a8:
      return "w8a8";
    case WeightFormat::w4a16:
      return "w4a16";
    case WeightFormat::w4a8:
      return "w4a8";
  }
  return "unknown";
}

double bytes_per_row(WeightFormat format, int64_t columns, int64_t group) {
  const auto k = static_cast<double>(columns);
  switch (format) {
    case WeightFormat::f32:
      return 4 * k;
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return 2 * k;
    case WeightFormat::w8a8:
      return k + 4;
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      return k / 2 + 4 * static_cast<double>(ceil_div(columns, group > 0 ? group : columns));
  }
  return 0;
}

int64_t stored_bytes(const Weight& weight) {
  size_t bytes = 0;
  for (const WeightPart& part : weight.parts)
    bytes += part.data.bytes.size() + part.scales.bytes.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace lotse
