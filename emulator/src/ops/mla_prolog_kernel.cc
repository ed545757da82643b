#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/host_matrix.h"
#include "ops/index.h"
#include "ops/matmul_kernel.h"
#include "ops/mla_prolog.h"
#include "ops/quant.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

using Floats = std::vector<float>;

Floats read_optional(const Tensor& tensor) {
  return tensor.present() ? read<float>(tensor.view()) : Floats();
}

void round_to_bf16(Floats& values) {
  std::vector<std::byte> stored(2 * values.size());
  const auto count = std::ssize(values);
  store_run(ACL_BF16, stored.data(), 0, 1, count, values.data());
  load_run(ACL_BF16, stored.data(), 0, 1, count, values.data());
}

// a [rows, k] × weight, times scales of rows and columns where the weight is INT8.
Floats product(Floats& a, int64_t rows, const Tensor& weight, const Floats& row_scales,
               const Tensor& column_scales) {
  const int64_t k = weight.size(0), n = weight.size(1);
  Floats result(at(rows * n));
  if (weight.dtype() != ACL_INT8) {
    multiply<float>(host_matrix(a, ACL_FLOAT, rows, k), weight.view(), InputRounding::none,
                    [&](int64_t row, int64_t column, int64_t count, float* values) {
                      std::copy_n(values, count, result.begin() + row * n + column);
                    });
    return result;
  }
  std::vector<int8_t> integers(a.size());
  for (size_t i = 0; i < a.size(); ++i) integers[i] = static_cast<int8_t>(a[i]);
  const Floats columns = read<float>(column_scales.view());
  multiply<int32_t>(host_matrix(integers, ACL_INT8, rows, k), weight.view(), InputRounding::none,
                    [&](int64_t row, int64_t column, int64_t count, int32_t* sums) {
                      for (int64_t i = 0; i < count; ++i) {
                        result[at(row * n + column + i)] = static_cast<float>(sums[i]) *
                                                           columns[at(column + i)] *
                                                           row_scales[at(row)];
                      }
                    });
  return result;
}

void normalise(float* values, const Floats& gamma, float epsilon) {
  const auto size = std::ssize(gamma);
  const double mean = sum_of_squares(values, size) / static_cast<double>(size);
  const auto inverse = static_cast<float>(1 / std::sqrt(mean + static_cast<double>(epsilon)));
  for (int64_t i = 0; i < size; ++i) values[i] *= inverse * gamma[at(i)];
}

// Pairs of neighbours turn and part: the first ones to the first half, the second ones behind.
void rotate(const float* x, const float* cos, const float* sin, int64_t size, float* y) {
  for (int64_t i = 0; i < size / 2; ++i) {
    const int64_t other = size / 2 + i;
    y[i] = x[2 * i] * cos[i] - x[2 * i + 1] * sin[i];
    y[other] = x[2 * i + 1] * cos[other] + x[2 * i] * sin[other];
  }
}

// Rows of a cache, whose layout and scales it hides.
class Cache {
 public:
  Cache(const Tensor& cache, const Tensor& scale, bool fractal)
      : view_(cache.view()), scales_(read_optional(scale)), fractal_(fractal) {}

  int64_t slots() const { return view_.rows(); }

  void store(int64_t slot, float* values) const {
    const int64_t size = view_.row_length();
    for (int64_t i = 0; !scales_.empty() && i < size; ++i) {
      values[i] = whole_within(values[i] * scales_[scales_.size() == 1 ? 0 : at(i)], -128, 127);
    }
    if (!fractal_) return view_.store_row(slot, values);
    const int64_t rows = view_.size(1), width = fractal_columns(view_.dtype());
    const int64_t block = view_.offset() + slot / rows * rows * size;
    for (int64_t first = 0; first < size; first += width) {
      view_.store(block + first * rows + slot % rows * width, 1, width, values + first);
    }
  }

 private:
  View view_;
  Floats scales_;
  bool fractal_;
};

// cq: what the second product takes, and its scales by row.
struct Compressed {
  Floats values, scales;
};

Compressed compress(const MlaProlog& p, Floats& x, const Floats& x_scales) {
  const int64_t tokens = p.tokens(), size = p.weight_dq.size(1);
  Compressed cq{product(x, tokens, p.weight_dq, x_scales, p.scale_dq), {}};
  const Floats gamma = read<float>(p.gamma_cq.view()), smooth = read_optional(p.smooth);
  const bool quantises = p.weight_uq_qr.dtype() == ACL_INT8;
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = cq.values.data() + t * size;
    normalise(row, gamma, p.epsilon_cq);
    if (!quantises) continue;
    for (size_t i = 0; i < smooth.size(); ++i) row[i] *= smooth[i];
    cq.scales.push_back(quantise_symmetric(row, size, 127));
  }
  if (!quantises) round_to_bf16(cq.values);
  if (p.query_norm.present()) write<float>(p.query_norm.view(), cq.values);
  if (p.query_norm_scale.present()) write<float>(p.query_norm_scale.view(), cq.scales);
  return cq;
}

// qc · weightUk of each head, in INT8 where there is room for scales.
void write_queries(const MlaProlog& p, const Floats& parts) {
  const int64_t tokens = p.tokens(), heads = p.heads(), size = p.head_size();
  const int64_t both = size + p.rope_size(), width = p.weight_uk.size(2);
  const View query = p.query.view(), uk = p.weight_uk.view();
  Floats scales(at(tokens * heads));
  for (int64_t h = 0; h < heads; ++h) {
    Floats nope;
    for (int64_t t = 0; t < tokens; ++t) {
      const auto first = parts.begin() + (t * heads + h) * both;
      nope.insert(nope.end(), first, first + size);
    }
    round_to_bf16(nope);
    Floats absorbed(at(tokens * width));
    multiply<float>(host_matrix(nope, ACL_FLOAT, tokens, size), uk.select(0, h),
                    InputRounding::none,
                    [&](int64_t row, int64_t column, int64_t count, float* values) {
                      std::copy_n(values, count, absorbed.begin() + row * width + column);
                    });
    for (int64_t t = 0; t < tokens; ++t) {
      float* row = absorbed.data() + t * width;
      if (p.query.dtype() == ACL_INT8) {
        scales[at(t * heads + h)] = quantise_symmetric(row, width, 127);
      }
      query.store_row(t * heads + h, row);
    }
  }
  if (p.query.dtype() == ACL_INT8) write<float>(p.query_scale.view(), scales);
}

void write_rotated_queries(const MlaProlog& p, const Floats& parts, const Floats& cos,
                           const Floats& sin) {
  const int64_t heads = p.heads(), size = p.rope_size(), both = p.head_size() + size;
  const View out = p.query_rope.view();
  Floats rotated(at(size));
  for (int64_t row = 0; row < p.tokens() * heads; ++row) {
    const int64_t turn = row / heads * size;
    rotate(parts.data() + row * both + p.head_size(), cos.data() + turn, sin.data() + turn, size,
           rotated.data());
    out.store_row(row, rotated.data());
  }
}

void write_caches(const MlaProlog& p, Floats& ckv_kr, const Floats& cos, const Floats& sin) {
  const int64_t size = p.rope_size(), width = p.weight_uk.size(2);
  const Cache kv(p.kv_cache, p.scale_ckv, p.fractal_cache);
  const Cache kr(p.kr_cache, p.scale_kr, p.fractal_cache);
  const Floats gamma = read<float>(p.gamma_ckv.view());
  const std::vector<int64_t> slots =
      p.index.present() ? read<int64_t>(p.index.view()) : std::vector<int64_t>();
  Floats rotated(at(size));
  for (int64_t t = 0; t < p.tokens(); ++t) {
    const int64_t slot = slots.empty() ? t : slots[at(t)];
    if (slot < 0 || slot >= kv.slots()) {
      fail(kVectorFault, "argument cacheIndex: it holds {}, but the cache has {} rows", slot,
           kv.slots());
    }
    float* row = ckv_kr.data() + t * (width + size);
    normalise(row, gamma, p.epsilon_ckv);
    rotate(row + width, cos.data() + t * size, sin.data() + t * size, size, rotated.data());
    kv.store(slot, row);
    kr.store(slot, rotated.data());
  }
}

}  // namespace

void MlaProlog::run() const {
  if (tokens() == 0) return;
  Floats values = read<float>(x.view());
  const Floats scales = read_optional(scale_x);
  const Floats cosines = read<float>(cos.view()), sines = read<float>(sin.view());
  Compressed cq = compress(*this, values, scales);
  const Floats parts = product(cq.values, tokens(), weight_uq_qr, cq.scales, scale_uq_qr);
  write_queries(*this, parts);
  write_rotated_queries(*this, parts, cosines, sines);
  if (kv_cache.count() == 0) return;
  Floats ckv_kr = product(values, tokens(), weight_dkv_kr, scales, scale_dkv_kr);
  write_caches(*this, ckv_kr, cosines, sines);
}

}  // namespace lotse::emulator
