// A call of attention, and attention by its definition in double.
#pragma once

#include "aclnnop/attention.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support.h"

namespace emulator_test {

inline constexpr int64_t kAll = std::numeric_limits<int32_t>::max();

// The arguments that tests vary; null and 0 unless set.
struct Call {
  const aclTensor* query = nullptr;
  std::vector<const Tensor*> keys, values;
  const aclTensor *pse = nullptr, *mask = nullptr, *blocks = nullptr;
  std::vector<int64_t> query_lengths, key_lengths;
  const aclTensor *key_scale = nullptr, *key_offset = nullptr;
  const aclTensor *value_scale = nullptr, *value_offset = nullptr;
  const aclTensor *both_scale = nullptr, *both_offset = nullptr, *padding = nullptr;
  int64_t heads = 1, kv_heads = 0, pre = kAll, next = kAll, sparse = 0, block_size = 0, mode = 0;
  double scale = 1;
  std::string layout = "BSND";
  bool with_lse = false;
  const aclTensor *out = nullptr, *lse = nullptr;

  int operator()() {
    return with_arguments([](auto... arguments) {
      return run(aclnnFusedInferAttentionScoreV2GetWorkspaceSize, aclnnFusedInferAttentionScoreV2,
                 arguments...);
    });
  }

  // The fault of a stream of its own.
  int fault() {
    return with_arguments([](auto... arguments) {
      aclrtStream stream = nullptr;
      EXPECT_EQ(aclrtCreateStream(&stream), 0);
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      EXPECT_EQ(aclnnFusedInferAttentionScoreV2GetWorkspaceSize(arguments..., &size, &executor), 0)
          << recent_error();
      EXPECT_EQ(aclnnFusedInferAttentionScoreV2(nullptr, size, executor, stream), 0);
      const int code = aclrtSynchronizeStream(stream);
      aclrtDestroyStream(stream);
      return code;
    });
  }

 private:
  template <class F>
  int with_arguments(const F& f) {
    using T = const aclTensor*;
    const List k(keys), v(values);
    const Ints q_lengths(query_lengths), k_lengths(key_lengths);
    const aclIntArray* const no_lengths = nullptr;
    const aclIntArray* const q_given = query_lengths.empty() ? no_lengths : q_lengths;
    const aclIntArray* const k_given = key_lengths.empty() ? no_lengths : k_lengths;
    const T none = nullptr;
    const aclTensorList *k_list = k, *v_list = v;
    return f(query, k_list, v_list, pse, mask, q_given, k_given, none, none, none, none, none,
             both_scale, both_offset, blocks, padding, none, key_scale, key_offset, value_scale,
             value_offset, none, none, no_lengths, heads, scale, pre, next, layout.data(), kv_heads,
             sparse, int64_t{0}, block_size, mode, with_lse, mode, mode, out, lse);
  }
};

inline Shape shape_of(const std::string& layout, int64_t batch, int64_t tokens, int64_t heads,
                      int64_t size) {
  if (layout == "BSH") return {batch, tokens, heads * size};
  if (layout == "BSND") return {batch, tokens, heads, size};
  return {batch, heads, tokens, size};
}

inline double element(const Tensor& tensor, const std::string& layout, int64_t batch, int64_t token,
                      int64_t head, int64_t i, int64_t size) {
  if (layout == "BSH") return tensor.at({batch, token, head * size + i});
  if (layout == "BSND") return tensor.at({batch, token, head, i});
  return tensor.at({batch, head, token, i});
}

using Element = std::function<double(int64_t batch, int64_t token, int64_t head, int64_t i)>;

// Attention by its definition.
struct Reference {
  int64_t heads, kv_heads, size;
  double scale;
  Element query, key, value;
  std::function<int64_t(int64_t batch)> keys;
  std::function<bool(int64_t batch, int64_t query, int64_t key)> visible;
  std::function<double(int64_t batch, int64_t head, int64_t query, int64_t key)> shift;

  struct Row {
    std::vector<double> out;
    double lse;
  };

  Row row(int64_t batch, int64_t q, int64_t head) const {
    const int64_t kv_head = head / (heads / kv_heads);
    std::vector<double> scores;
    for (int64_t k = 0; k < keys(batch); ++k) {
      double dot = 0;
      for (int64_t i = 0; i < size; ++i)
        dot += query(batch, q, head, i) * key(batch, k, kv_head, i);
      dot = dot * scale + (shift ? shift(batch, head, q, k) : 0);
      scores.push_back(!visible || visible(batch, q, k) ? dot : -INFINITY);
    }
    const double most =
        scores.empty() ? -INFINITY : *std::max_element(scores.begin(), scores.end());
    Row result{std::vector<double>(static_cast<size_t>(size), 0), INFINITY};
    if (most == -INFINITY) return result;
    double sum = 0;
    for (size_t k = 0; k < scores.size(); ++k) {
      const double weight = std::exp(scores[k] - most);
      sum += weight;
      for (size_t i = 0; weight > 0 && i < result.out.size(); ++i) {
        result.out[i] +=
            weight * value(batch, static_cast<int64_t>(k), kv_head, static_cast<int64_t>(i));
      }
    }
    for (double& x : result.out) x /= sum;
    result.lse = most + std::log(sum);
    return result;
  }
};

// One rounding to the type, and FLOAT arithmetic of numbers below 2.
inline constexpr double kRoundings = 1.02, kError = 3e-6;

// Compares whole results; positions are computed once for each head's row.
inline void expect_attention(const Tensor& out, const std::string& layout,
                             const Reference& reference) {
  Shape last;
  std::vector<double> row;
  expect_values(
      out,
      [&](const Shape& at) {
        const bool flat = layout == "BSH", by_head = layout == "BNSD";
        const int64_t token = at[by_head ? 2 : 1];
        const int64_t head = flat ? at[2] / reference.size : at[by_head ? 1 : 2];
        const Shape key = {at[0], token, head};
        if (key != last) row = reference.row(at[0], token, head).out;
        last = key;
        return row[static_cast<size_t>(flat ? at[2] % reference.size : at[3])];
      },
      kRoundings, kError);
}

struct Sizes {
  int64_t batch, queries, keys, heads, kv_heads, size;
};

// Contiguous keys and values in one tensor each.
struct Problem {
  Sizes s;
  std::string layout;
  Tensor q, k, v;

  Problem(const Sizes& sizes, const std::string& form, aclDataType dtype, bool scattered = false)
      : s(sizes),
        layout(form),
        q(Tensor::random(dtype, shape_of(form, s.batch, s.queries, s.heads, s.size), 1, scattered)),
        k(Tensor::random(dtype, shape_of(form, s.batch, s.keys, s.kv_heads, s.size), 2, scattered)),
        v(Tensor::random(dtype, shape_of(form, s.batch, s.keys, s.kv_heads, s.size), 3,
                         !scattered)) {}

  Call call(const aclTensor* out) const {
    Call c;
    c.query = q;
    c.keys = {&k};
    c.values = {&v};
    c.heads = s.heads;
    c.kv_heads = s.kv_heads;
    c.layout = layout;
    c.scale = 1 / std::sqrt(static_cast<double>(s.size));
    c.out = out;
    return c;
  }

  Reference reference() const {
    Reference r;
    r.heads = s.heads;
    r.kv_heads = s.kv_heads;
    r.size = s.size;
    r.scale = static_cast<double>(1 / std::sqrt(static_cast<float>(s.size)));
    r.query = [this](int64_t b, int64_t t, int64_t h, int64_t i) {
      return element(q, layout, b, t, h, i, s.size);
    };
    r.key = [this](int64_t b, int64_t t, int64_t h, int64_t i) {
      return element(k, layout, b, t, h, i, s.size);
    };
    r.value = [this](int64_t b, int64_t t, int64_t h, int64_t i) {
      return element(v, layout, b, t, h, i, s.size);
    };
    r.keys = [this](int64_t) { return s.keys; };
    return r;
  }
};

// The mask of the triangular modes.
inline Tensor triangle(aclDataType dtype) {
  std::vector<double> values;
  for (int r = 0; r < 2048; ++r) {
    for (int c = 0; c < 2048; ++c) values.push_back(c > r ? 1 : 0);
  }
  return Tensor(dtype, {2048, 2048}, values);
}

}  // namespace emulator_test
