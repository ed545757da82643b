// Each operator as a plain loop in double precision: what the operator means, on every device.
// Functions take row-major fp32 values and write fp32; sums run in double, so that a fast kernel's
// departure from them is its own rounding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/program.h"
#include "device/weight.h"

namespace lotse::reference {

// Symmetric dynamic quantisation of one token: inverse = 127 / max|x|, q = x · inverse rounded half
// to even, scale = max|x| / 127, all in fp32. A token so small that the inverse overflows counts as
// zeros: scale 0 and q = 0. A token with a NaN or an infinity has scale NaN.
float quantise_token(std::span<const float> x, std::vector<int8_t>& q);

// What a cache of int8 gives back of one head's key or value: q · scale of quantise_token.
void round_to_int8(std::span<float> x);

// Element (row, column) of a part as the arithmetic of its format sees it: dequantised for f32,
// f16, bf16; q · scale rounded to bf16 for w4a16; the bare integer for w8a8 and w4a8.
float weight_value(const WeightPart& part, int64_t row, int64_t column);

// One output row of a linear: y[n] = Σ_k x[k] · w[n, k] + bias[n], n over the part's rows, in the
// arithmetic of the part's format. `bias` is empty or has part.rows elements.
void linear_row(std::span<const float> x, const WeightPart& part, std::span<const float> bias,
                std::span<float> y);

// The whole weight, parts in order.
void linear_row(std::span<const float> x, const Weight& weight, std::span<const float> bias,
                std::span<float> y);

void rms_norm_row(std::span<const float> in, std::span<const float> weight, float epsilon,
                  std::span<float> out);
void layer_norm_row(std::span<const float> in, std::span<const float> weight,
                    std::span<const float> bias, float epsilon, std::span<float> out);

void rope_row(std::span<float> head, const RopeTable& table, int64_t position, bool interleaved);
float activate(Activation activation, float x);

// Softmax over the router's scores, then the top_k largest; shares in the order of selection.
struct Route {
  int64_t expert;
  float share;
};
std::vector<Route> route(std::span<const float> scores, int64_t top_k, bool normalise);

// Attention of one query head: keys and values are `context` rows of head_dim each, gathered from
// the cache by the caller, of which those in [first, context) are visible.
void attention_row(std::span<const float> query, std::span<const float> keys,
                   std::span<const float> values, int64_t first, float scale, float softcap,
                   std::span<float> out);

}  // namespace lotse::reference
