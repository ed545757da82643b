#include "port/quantise.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/float_types.h"

namespace lotse {
namespace {

// Loops over independent lanes, so that sums vectorise and still have one fixed order.
constexpr size_t kLanes = 8;

// The largest magnitude; not finite when any element is not. Magnitudes of floats are ordered as
// their bits are.
float largest_magnitude(std::span<const float> values) {
  uint32_t largest = 0;
  for (const float value : values) {
    largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7fffffffu);
  }
  return std::bit_cast<float>(largest);
}

// Half to even, for |value| below 2²²: adding 1.5 · 2²³ leaves no fraction bits.
int32_t round_half_even(float value) {
  constexpr float kShift = 12582912.0f;
  return std::bit_cast<int32_t>(value + kShift) - std::bit_cast<int32_t>(kShift);
}

int32_t int4_of(float value, float inverse) {
  return std::clamp(round_half_even(value * inverse), -8, 7);
}

// Σ (value / scale − q)²: in units of the scale, so that nothing underflows.
float squared_error_int4(std::span<const float> values, float scale) {
  const float inverse = 1 / scale;
  std::array<float, kLanes> sums{};
  const auto add = [&](size_t lane, float value) {
    const float error = value * inverse - static_cast<float>(int4_of(value, inverse));
    sums[lane] += error * error;
  };
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add(lane, values[i + lane]);
  }
  for (; i < values.size(); ++i) add(0, values[i]);
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

// 1 maps the largest magnitude to 7, 7/8 maps it to −8 where its sign allows.
constexpr std::array<float, 8> kClips = {1, 0.96f, 0.92f, 0.875f, 0.84f, 0.8f, 0.75f, 0.7f};

// A scale whose inverse overflows is no scale: such a group counts as zeros.
bool is_usable(float scale) { return scale > 0 && std::isfinite(1 / scale); }

float best_int4_scale(std::span<const float> values, float largest) {
  float best = 0;
  float least = 0;
  float previous = 0;
  for (const float clip : kClips) {
    const float scale = round_to_bf16(largest * clip / 7);
    if (scale == previous || !is_usable(scale)) continue;
    previous = scale;
    const float ratio = scale / largest;
    const float error = squared_error_int4(values, scale) * ratio * ratio;
    if (best == 0 || error < least) {
      best = scale;
      least = error;
    }
  }
  return best;
}

bool encode_f16(std::span<const float> row, std::span<float> stored, std::byte* values) {
  bool in_range = true;
  for (size_t i = 0; i < row.size(); ++i) {
    const uint16_t half = float_to_fp16(row[i]);
    std::memcpy(values + 2 * i, &half, sizeof half);
    stored[i] = fp16_to_float(half);
    in_range = in_range && (half & 0x7c00u) != 0x7c00u;
  }
  return in_range;
}

bool encode_bf16(std::span<const float> row, std::span<float> stored, std::byte* values) {
  for (size_t i = 0; i < row.size(); ++i) {
    const uint16_t half = float_to_bf16(row[i]);
    std::memcpy(values + 2 * i, &half, sizeof half);
    stored[i] = bf16_to_float(half);
  }
  return std::isfinite(largest_magnitude(stored));
}

bool encode_int8(std::span<const float> row, std::span<float> stored, std::byte* values,
                 std::byte* scales) {
  const std::span<int8_t> q(reinterpret_cast<int8_t*>(values), row.size());
  const float scale = quantise_int8_row(row, q);
  std::memcpy(scales, &scale, sizeof scale);
  for (size_t i = 0; i < row.size(); ++i) stored[i] = static_cast<float>(q[i]) * scale;
  return std::isfinite(scale);
}

bool encode_int4(std::span<const float> row, int64_t group, std::span<float> stored,
                 std::byte* values, std::byte* scales) {
  std::vector<int8_t> q(row.size());
  std::vector<uint16_t> halves(
      static_cast<size_t>(ceil_div(static_cast<int64_t>(row.size()), group)));
  if (!quantise_int4_row(row, group, halves, q)) return false;
  std::memcpy(scales, halves.data(), halves.size() * sizeof(uint16_t));
  for (size_t i = 0; i < row.size(); i += 2) {
    values[i / 2] = static_cast<std::byte>((q[i] + 8) | ((q[i + 1] + 8) << 4));
  }
  for (size_t i = 0; i < row.size(); ++i) {
    stored[i] = static_cast<float>(q[i]) * bf16_to_float(halves[i / static_cast<size_t>(group)]);
  }
  return true;
}

}  // namespace

void ErrorSums::add(const ErrorSums& other) {
  error += other.error;
  source += other.source;
  stored += other.stored;
  product += other.product;
  largest = std::max(largest, other.largest);
}

TensorError summarise(const ErrorSums& sums) {
  TensorError result;
  result.max_abs = sums.largest;
  if (sums.error > 0 && sums.source > 0) result.relative_rms = std::sqrt(sums.error / sums.source);
  if (sums.source > 0 && sums.stored > 0) {
    result.cosine = sums.product / std::sqrt(sums.source) / std::sqrt(sums.stored);
  }
  return result;
}

ErrorSums compare_rows(std::span<const float> source, std::span<const float> stored) {
  std::array<ErrorSums, kLanes> lanes;
  const auto add = [&](ErrorSums& lane, size_t i) {
    const auto a = static_cast<double>(source[i]);
    const auto b = static_cast<double>(stored[i]);
    const double error = b - a;
    lane.error += error * error;
    lane.source += a * a;
    lane.stored += b * b;
    lane.product += a * b;
    lane.largest = std::max(lane.largest, std::fabs(error));
  };
  size_t i = 0;
  for (; i + kLanes <= source.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add(lanes[lane], i + lane);
  }
  for (; i < source.size(); ++i) add(lanes[0], i);
  ErrorSums total;
  for (const ErrorSums& lane : lanes) total.add(lane);
  return total;
}

float quantise_int8_row(std::span<const float> row, std::span<int8_t> q) {
  const float scale = largest_magnitude(row) / 127;
  if (scale == 0 || !std::isfinite(scale)) {
    std::fill(q.begin(), q.end(), int8_t{0});
    return scale;
  }
  for (size_t i = 0; i < row.size(); ++i) {
    q[i] = static_cast<int8_t>(std::clamp(round_half_even(row[i] / scale), -127, 127));
  }
  return scale;
}

bool quantise_int4_row(std::span<const float> row, int64_t group, std::span<uint16_t> scales,
                       std::span<int8_t> q) {
  const auto step = static_cast<size_t>(group);
  for (size_t begin = 0, g = 0; begin < row.size(); begin += step, ++g) {
    const std::span<const float> values = row.subspan(begin, std::min(step, row.size() - begin));
    const float largest = largest_magnitude(values);
    if (!std::isfinite(largest)) return false;
    const float scale = best_int4_scale(values, largest);
    scales[g] = float_to_bf16(scale);
    const float inverse = scale == 0 ? 0 : 1 / scale;
    for (size_t i = 0; i < values.size(); ++i) {
      q[begin + i] = static_cast<int8_t>(int4_of(values[i], inverse));
    }
  }
  return true;
}

int64_t value_bytes(WeightFormat format, int64_t columns) {
  switch (format) {
    case WeightFormat::f32:
      return 4 * columns;
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return 2 * columns;
    case WeightFormat::w8a8:
      return columns;
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      return 4 * ceil_div(columns, 8);
  }
  return 0;
}

int64_t scale_bytes(WeightFormat format, int64_t columns, int64_t group) {
  if (format == WeightFormat::w8a8) return 4;
  if (format == WeightFormat::w4a16 || format == WeightFormat::w4a8) {
    return 2 * ceil_div(columns, group);
  }
  return 0;
}

EncodedRow encode_row(WeightFormat format, int64_t group, std::span<const float> row,
                      std::byte* values, std::byte* scales) {
  std::vector<float> stored(row.size());
  EncodedRow result;
  switch (format) {
    case WeightFormat::f32:
      std::memcpy(values, row.data(), row.size_bytes());
      result.is_representable = std::isfinite(largest_magnitude(row));
      std::copy(row.begin(), row.end(), stored.begin());
      break;
    case WeightFormat::f16:
      result.is_representable = encode_f16(row, stored, values);
      break;
    case WeightFormat::bf16:
      result.is_representable = encode_bf16(row, stored, values);
      break;
    case WeightFormat::w8a8:
      result.is_representable = encode_int8(row, stored, values, scales);
      break;
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      LOTSE_CHECK(row.size() % 8 == 0);
      result.is_representable = encode_int4(row, group, stored, values, scales);
      break;
  }
  if (result.is_representable) result.sums = compare_rows(row, stored);
  return result;
}

}  // namespace lotse
