#include "device/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "base/checked.h"
#include "base/float_types.h"

namespace lotse::reference {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

int int4_value(const WeightPart& part, int64_t row, int64_t column) {
  const int64_t row_bytes = ceil_div(part.columns, 2);
  const auto packed = std::to_integer<uint8_t>(part.data.bytes[at(row * row_bytes + column / 2)]);
  const int nibble = column % 2 == 0 ? packed & 0xf : packed >> 4;
  return nibble >= 8 ? nibble - 16 : nibble;
}

float group_scale(const WeightPart& part, int64_t row, int64_t column) {
  const int64_t groups = ceil_div(part.columns, part.group);
  return part.scales.as<float>()[at(row * groups + column / part.group)];
}

bool has_int8_activations(WeightFormat format) {
  return format == WeightFormat::w8a8 || format == WeightFormat::w4a8;
}

double dot_float(std::span<const float> x, const WeightPart& part, int64_t row) {
  const bool narrow = part.format == WeightFormat::bf16 || part.format == WeightFormat::w4a16;
  double sum = 0;
  for (int64_t k = 0; k < part.columns; ++k) {
    const float value = narrow ? round_to_bf16(x[at(k)]) : x[at(k)];
    sum += static_cast<double>(value) * static_cast<double>(weight_value(part, row, k));
  }
  return sum;
}

int64_t dot_int(std::span<const int8_t> q, const WeightPart& part, int64_t row, int64_t begin,
                int64_t end) {
  int64_t sum = 0;
  for (int64_t k = begin; k < end; ++k) {
    sum += int64_t{q[at(k)]} * static_cast<int64_t>(weight_value(part, row, k));
  }
  return sum;
}

// w8a8: (float(acc) · scale_w) · scale_x; w4a8: (Σ_groups float(acc_g) · scale_g) · scale_x.
float scaled_dot(std::span<const int8_t> q, float token_scale, const WeightPart& part,
                 int64_t row) {
  if (part.format == WeightFormat::w8a8) {
    const auto acc = static_cast<float>(dot_int(q, part, row, 0, part.columns));
    return acc * part.scales.as<float>()[at(row)] * token_scale;
  }
  float sum = 0;
  for (int64_t begin = 0; begin < part.columns; begin += part.group) {
    const int64_t end = std::min(begin + part.group, part.columns);
    sum += static_cast<float>(dot_int(q, part, row, begin, end)) * group_scale(part, row, begin);
  }
  return sum * token_scale;
}

}  // namespace

float quantise_token(std::span<const float> x, std::vector<int8_t>& q) {
  float largest = 0;
  bool finite = true;
  for (const float value : x) {
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::fabs(value));
  }
  q.assign(x.size(), 0);
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  const float inverse = 127.0f / largest;
  if (!std::isfinite(inverse)) return 0;
  for (size_t k = 0; k < x.size(); ++k) {
    q[k] = static_cast<int8_t>(std::clamp(std::nearbyint(x[k] * inverse), -127.0f, 127.0f));
  }
  return largest / 127.0f;
}

void round_to_int8(std::span<float> x) {
  std::vector<int8_t> q;
  const float scale = quantise_token(x, q);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(q[i]) * scale;
}

float weight_value(const WeightPart& part, int64_t row, int64_t column) {
  const size_t index = at(row * part.columns + column);
  switch (part.format) {
    case WeightFormat::f32:
      return part.data.as<float>()[index];
    case WeightFormat::f16:
      return fp16_to_float(part.data.as<uint16_t>()[index]);
    case WeightFormat::bf16:
      return bf16_to_float(part.data.as<uint16_t>()[index]);
    case WeightFormat::w8a8:
      return part.data.as<int8_t>()[index];
    case WeightFormat::w4a8:
      return static_cast<float>(int4_value(part, row, column));
    case WeightFormat::w4a16:
      return round_to_bf16(static_cast<float>(int4_value(part, row, column)) *
                           group_scale(part, row, column));
  }
  return 0;
}

void linear_row(std::span<const float> x, const WeightPart& part, std::span<const float> bias,
                std::span<float> y) {
  std::vector<int8_t> q;
  const float token_scale = has_int8_activations(part.format) ? quantise_token(x, q) : 0;
  for (int64_t row = 0; row < part.rows; ++row) {
    const double product = has_int8_activations(part.format)
                               ? static_cast<double>(scaled_dot(q, token_scale, part, row))
                               : dot_float(x, part, row);
    const double shift = bias.empty() ? 0.0 : static_cast<double>(bias[at(row)]);
    y[at(row)] = static_cast<float>(product + shift);
  }
}

void linear_row(std::span<const float> x, const Weight& weight, std::span<const float> bias,
                std::span<float> y) {
  size_t row = 0;
  for (const WeightPart& part : weight.parts) {
    const auto rows = at(part.rows);
    linear_row(x, part, bias.empty() ? bias : bias.subspan(row, rows), y.subspan(row, rows));
    row += rows;
  }
}

void rms_norm_row(std::span<const float> in, std::span<const float> weight, float epsilon,
                  std::span<float> out) {
  double squares = 0;
  for (const float value : in) squares += static_cast<double>(value) * static_cast<double>(value);
  const double factor =
      1 / std::sqrt(squares / static_cast<double>(in.size()) + static_cast<double>(epsilon));
  for (size_t i = 0; i < in.size(); ++i) {
    out[i] =
        static_cast<float>(static_cast<double>(in[i]) * factor * static_cast<double>(weight[i]));
  }
}

void layer_norm_row(std::span<const float> in, std::span<const float> weight,
                    std::span<const float> bias, float epsilon, std::span<float> out) {
  const auto n = static_cast<double>(in.size());
  double sum = 0;
  for (const float value : in) sum += static_cast<double>(value);
  const double mean = sum / n;
  double squares = 0;
  for (const float value : in) {
    const double centred = static_cast<double>(value) - mean;
    squares += centred * centred;
  }
  const double factor = 1 / std::sqrt(squares / n + static_cast<double>(epsilon));
  for (size_t i = 0; i < in.size(); ++i) {
    const double normed = (static_cast<double>(in[i]) - mean) * factor;
    out[i] =
        static_cast<float>(normed * static_cast<double>(weight[i]) + static_cast<double>(bias[i]));
  }
}

void rope_row(std::span<float> head, const RopeTable& table, int64_t position, bool interleaved) {
  const size_t pairs = table.inverse_frequency.size();
  for (size_t i = 0; i < pairs; ++i) {
    // The angle is rounded to fp32 before the cosine, as every framework does.
    const float angle = static_cast<float>(position) * table.inverse_frequency[i];
    const double cosine = std::cos(static_cast<double>(angle)) * static_cast<double>(table.scale);
    const double sine = std::sin(static_cast<double>(angle)) * static_cast<double>(table.scale);
    float& a = head[interleaved ? 2 * i : i];
    float& b = head[interleaved ? 2 * i + 1 : i + pairs];
    const double x = static_cast<double>(a);
    const double y = static_cast<double>(b);
    a = static_cast<float>(x * cosine - y * sine);
    b = static_cast<float>(y * cosine + x * sine);
  }
}

float activate(Activation activation, float x) {
  const auto v = static_cast<double>(x);
  switch (activation) {
    case Activation::silu:
      return static_cast<float>(v / (1 + std::exp(-v)));
    case Activation::gelu_erf:
      return static_cast<float>(0.5 * v * (1 + std::erf(v / std::numbers::sqrt2)));
    case Activation::gelu_tanh: {
      const double inner = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
      return static_cast<float>(0.5 * v * (1 + std::tanh(inner)));
    }
  }
  return 0;
}

std::vector<Route> route(std::span<const float> scores, int64_t top_k, bool normalise) {
  const float largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> shares(scores.size());
  double total = 0;
  for (size_t e = 0; e < scores.size(); ++e) {
    shares[e] = std::exp(static_cast<double>(scores[e] - largest));
    total += shares[e];
  }
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[at(a)] > scores[at(b)] || (scores[at(a)] == scores[at(b)] && a < b);
  });
  double kept = 0;
  for (int64_t i = 0; i < top_k; ++i) kept += shares[at(order[at(i)])];
  std::vector<Route> routes;
  for (int64_t i = 0; i < top_k; ++i) {
    const int64_t expert = order[at(i)];
    routes.push_back({expert, static_cast<float>(shares[at(expert)] / (normalise ? kept : total))});
  }
  return routes;
}

void attention_row(std::span<const float> query, std::span<const float> keys,
                   std::span<const float> values, int64_t first, float scale, float softcap,
                   std::span<float> out) {
  const size_t dim = query.size();
  const size_t context = keys.size() / dim;
  std::vector<double> scores(context);
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t j = at(first); j < context; ++j) {
    double dot = 0;
    for (size_t i = 0; i < dim; ++i) {
      dot += static_cast<double>(query[i]) * static_cast<double>(keys[j * dim + i]);
    }
    dot *= static_cast<double>(scale);
    if (softcap > 0) {
      dot = static_cast<double>(softcap) * std::tanh(dot / static_cast<double>(softcap));
    }
    scores[j] = dot;
    largest = std::max(largest, dot);
  }
  std::vector<double> sum(dim, 0.0);
  double total = 0;
  for (size_t j = at(first); j < context; ++j) {
    const double weight = std::exp(scores[j] - largest);
    total += weight;
    for (size_t i = 0; i < dim; ++i) sum[i] += weight * static_cast<double>(values[j * dim + i]);
  }
  for (size_t i = 0; i < dim; ++i) out[i] = static_cast<float>(sum[i] / total);
}

}  // namespace lotse::reference
