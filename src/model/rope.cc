#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lotse {
namespace {

using Frequencies = std::vector<double>;

Frequencies plain(double theta, int64_t rotated) {
  Frequencies f;
  for (int64_t i = 0; i < rotated / 2; ++i) {
    f.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotated)));
  }
  return f;
}

double ntk_theta(const RopeConfig& rope, int64_t rotated, double max_context, double context) {
  if (context <= max_context || rotated <= 2) return rope.theta;
  const double stretch = rope.factor * context / max_context - (rope.factor - 1);
  const auto d = static_cast<double>(rotated);
  return rope.theta * std::pow(stretch, d / (d - 2));
}

void scale_llama3(const RopeConfig& rope, double original, Frequencies& f) {
  for (double& frequency : f) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < original / rope.high_frequency_factor) continue;
    if (wavelength > original / rope.low_frequency_factor) {
      frequency /= rope.factor;
      continue;
    }
    const double smooth = (original / wavelength - rope.low_frequency_factor) /
                          (rope.high_frequency_factor - rope.low_frequency_factor);
    frequency = (1 - smooth) * frequency / rope.factor + smooth * frequency;
  }
}

// The dimension whose frequency makes `rotations` turns over the original context.
double correction_dimension(const RopeConfig& rope, double rotated, double original,
                            double rotations) {
  return rotated * std::log(original / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

void scale_yarn(const RopeConfig& rope, int64_t rotated, double original, Frequencies& f) {
  const auto dim = static_cast<double>(rotated);
  double low = correction_dimension(rope, dim, original, rope.beta_fast);
  double high = correction_dimension(rope, dim, original, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < f.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    f[i] = f[i] / rope.factor * ramp + f[i] * (1 - ramp);
  }
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) {
    return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  }
  return yarn_mscale(rope.factor, 1);
}

double longrope_attention_factor(const RopeConfig& rope, double max_context, double original) {
  if (rope.attention_factor) return *rope.attention_factor;
  const double factor = rope.factor > 1 ? rope.factor : max_context / original;
  return factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
}

}  // namespace

Result<RopeTable> make_rope_table(const RopeConfig& rope, int64_t head_dim, int64_t max_context,
                                  int64_t context) {
  const auto rotated = static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial) / 2 * 2;
  if (rotated == 0) {
    return fail(ErrorCode::invalid_input,
                "config.json: field \"partial_rotary_factor\": {} of head_dim {} leaves no "
                "dimension to rotate",
                rope.partial, head_dim);
  }
  const auto longest = static_cast<double>(max_context);
  const double original =
      rope.original_context > 0 ? static_cast<double>(rope.original_context) : longest;
  Frequencies f = plain(rope.theta, rotated);
  double scale = 1;
  if (rope.type == "linear") {
    for (double& frequency : f) frequency /= rope.factor;
  } else if (rope.type == "dynamic") {
    f = plain(ntk_theta(rope, rotated, longest, static_cast<double>(context)), rotated);
  } else if (rope.type == "llama3") {
    scale_llama3(rope, original, f);
  } else if (rope.type == "yarn") {
    scale_yarn(rope, rotated, original, f);
    scale = yarn_attention_factor(rope);
  } else if (rope.type == "longrope") {
    const bool is_long = static_cast<double>(context) > original;
    const std::vector<double>& factors = is_long ? rope.long_factor : rope.short_factor;
    if (factors.size() != f.size()) {
      return fail(ErrorCode::invalid_input,
                  "config.json: field \"{}\": expected {} factors, half the rotated dimensions, "
                  "got {}",
                  is_long ? "long_factor" : "short_factor", f.size(), factors.size());
    }
    for (size_t i = 0; i < f.size(); ++i) f[i] /= factors[i];
    scale = longrope_attention_factor(rope, longest, original);
  }
  RopeTable table;
  for (const double frequency : f) table.inverse_frequency.push_back(static_cast<float>(frequency));
  table.scale = static_cast<float>(scale);
  return table;
}

}  // namespace lotse
