// aclnnQuantMatmulV3, V4 and WeightNz: exact integer products with scales.
#include <cmath>
#include <vector>

#include "aclnnop/quant_matmul.h"
#include "ops/int4.h"
#include "ops/matmul_kernel.h"
#include "ops/quant.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kOperands = {ACL_INT8, ACL_INT4, ACL_INT32};
constexpr DtypeSet kPackedScale = {ACL_UINT64, ACL_INT64};

struct QuantMatmul {
  Tensor x1, x2, scale, offset, token_scale, bias, out;
  bool transpose1 = false, transpose2 = false;
  int64_t m = 0, n = 0, k = 0;
  Dims batch;
};

// An operand [batch…, rows, columns] of integers after unpacking and transposition.
Dims operand_dims(Op& op, const Tensor& x, bool transpose) {
  op.expect_rank(x, 2, 6);
  if (x.dtype() != ACL_INT8) expect_packed(op, x);
  Dims dims = unpacked_dims(x);
  const int64_t rank = dims.size();
  if (transpose) std::swap(dims[rank - 1], dims[rank - 2]);
  return dims;
}

View operand(const Tensor& x, bool transpose) {
  const View view = unpacked_view(x);
  return transpose ? view.transposed(view.rank() - 2, view.rank() - 1) : view;
}

// The last `kept` of the dims cut off.
Dims leading(Dims dims, int64_t cut) {
  for (int64_t i = 0; i < cut; ++i) dims.erase(dims.size() - 1);
  return dims;
}

Dims broadcast_batch(const Op& op, const Dims& a, const Dims& b, const Tensor& second) {
  const int64_t rank = std::max(a.size(), b.size());
  Dims batch = Dims::filled(rank, 1);
  for (int64_t i = 1; i <= rank; ++i) {
    const int64_t first = i <= a.size() ? a[a.size() - i] : 1;
    const int64_t other = i <= b.size() ? b[b.size() - i] : 1;
    op.require(first == other || first == 1 || other == 1,
               "{}, whose batch does not broadcast with that of x1", second.text());
    batch[rank - i] = first == 1 ? other : first;
  }
  return batch;
}

// Which scales and biases go with which result.
void check_types(Op& op, const QuantMatmul& q) {
  const aclDataType out = q.out.dtype();
  const bool per_token = q.token_scale.present();
  DtypeSet scales = {ACL_FLOAT, ACL_BF16}, biases = {ACL_INT32};
  if (out == ACL_BF16) {
    biases = per_token ? DtypeSet{ACL_INT32, ACL_BF16, ACL_FLOAT} : DtypeSet{ACL_INT32, ACL_BF16};
  } else if (out == ACL_FLOAT16 && per_token) {
    scales = {ACL_FLOAT};
    biases = {ACL_INT32, ACL_FLOAT16, ACL_FLOAT};
  } else if (out != ACL_INT32) {
    scales = kPackedScale;
  }
  op.require(scales.contains(q.scale.dtype()), "{}, but {} results {}need a scale of {}{}",
             q.scale.text(), name_of(out), per_token ? "with a scale for each token " : "",
             names_of(scales),
             scales == kPackedScale ? ", which aclnnTransQuantParamV2 makes" : "");
  op.require(!per_token || out == ACL_BF16 || out == ACL_FLOAT16,
             "{}: {} results have no scale for each token", per_token ? q.token_scale.text() : "",
             name_of(out));
  if (q.bias.present()) {
    op.require(biases.contains(q.bias.dtype()), "{}, but these results take a bias of {}",
               q.bias.text(), names_of(biases));
  }
  op.require(!q.offset.present() || out == ACL_INT8, "argument offset: {} results have none",
             name_of(out));
}

void check_vectors(Op& op, const QuantMatmul& q) {
  const auto expect_columns = [&](const Tensor& tensor) {
    op.require(tensor.rank() <= 2 && (tensor.count() == 1 || tensor.count() == q.n),
               "{}, expected 1 or {} elements, one a column", tensor.text(), q.n);
  };
  expect_columns(q.scale);
  if (q.offset.present()) expect_columns(q.offset);
  if (q.token_scale.present()) op.expect_shape(q.token_scale, {q.m});
  if (!q.bias.present()) return;
  const bool one_for_all = q.bias.dims() == Dims{q.n};
  const bool by_batch = q.batch.size() == 1 && q.bias.dims() == Dims{q.batch[0], 1, q.n};
  op.require(one_for_all || by_batch,
             "{}, expected shape [{}] or, with one batch dimension, "
             "[batch, 1, {}]",
             q.bias.text(), q.n, q.n);
}

// What an epilogue needs, as plain numbers.
struct Vectors {
  std::vector<float> scales, token_scales, offsets, biases;
  std::vector<int64_t> whole_biases;
};

Vectors vectors_of(const QuantMatmul& q) {
  Vectors v;
  const auto n = static_cast<size_t>(q.n);
  if (kPackedScale.contains(q.scale.dtype())) {
    for (const int64_t packed : read<int64_t>(q.scale.view())) {
      v.scales.push_back(packed_scale(packed));
      v.offsets.push_back(static_cast<float>(packed_offset(packed)));
    }
  } else {
    v.scales = read<float>(q.scale.view());
    v.offsets = {0};
  }
  if (q.offset.present()) v.offsets = read<float>(q.offset.view());
  if (v.scales.size() == 1) v.scales.resize(n, v.scales[0]);
  if (v.offsets.size() == 1) v.offsets.resize(n, v.offsets[0]);
  if (q.token_scale.present()) v.token_scales = read<float>(q.token_scale.view());
  if (q.bias.present() && q.bias.dtype() == ACL_INT32) {
    v.whole_biases = read<int64_t>(q.bias.view());
  } else if (q.bias.present()) {
    v.biases = read<float>(q.bias.view());
  }
  return v;
}

// Stores `count` sums of one row; `bias_at` is where the biases of this batch begin.
void finish(const QuantMatmul& q, const Vectors& v, size_t bias_at, const View& out, int64_t row,
            int64_t column, int64_t count, int32_t* sums) {
  const auto c = static_cast<size_t>(column);
  if (!v.whole_biases.empty()) {
    for (int64_t i = 0; i < count; ++i) {
      sums[i] += static_cast<int32_t>(v.whole_biases[bias_at + c + static_cast<size_t>(i)]);
    }
  }
  const int64_t stride = out.strides()[1], index = out.row_index(row) + column * stride;
  if (q.out.dtype() == ACL_INT32) return out.store(index, stride, count, sums);
  std::vector<float> values(static_cast<size_t>(count));
  const float token = v.token_scales.empty() ? 1 : v.token_scales[static_cast<size_t>(row)];
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(sums[i]) * v.scales[c + i] * token;
  }
  if (!v.biases.empty()) {
    for (size_t i = 0; i < values.size(); ++i) values[i] += v.biases[bias_at + c + i];
  }
  if (q.out.dtype() == ACL_INT8) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = whole_within(values[i] + v.offsets[c + i], -128, 127);
    }
  }
  out.store(index, stride, count, values.data());
}

void run(const QuantMatmul& q) {
  const Vectors vectors = vectors_of(q);
  Dims left = q.batch, right = q.batch;
  left.push_back(q.m);
  left.push_back(q.k);
  right.push_back(q.k);
  right.push_back(q.n);
  const View a = operand(q.x1, q.transpose1).broadcast_to(left);
  const View b = operand(q.x2, q.transpose2).broadcast_to(right);
  const Dims steps = row_major(q.batch);
  for (int64_t i = 0; i < q.batch.product(); ++i) {
    View x = a, y = b, out = q.out.view();
    for (int64_t d = 0; d < q.batch.size(); ++d) {
      const int64_t at = i / steps[d] % q.batch[d];
      x = x.select(0, at);
      y = y.select(0, at);
      out = out.select(0, at);
    }
    const bool own_bias = q.bias.present() && q.bias.rank() == 3;
    const size_t bias_at = own_bias ? static_cast<size_t>(i * q.n) : 0;
    multiply<int32_t>(x, y, InputRounding::none,
                      [&](int64_t row, int64_t column, int64_t count, int32_t* sums) {
                        finish(q, vectors, bias_at, out, row, column, count, sums);
                      });
  }
}

void describe(Op& op, QuantMatmul q) {
  const bool bytes = q.x1.dtype() == ACL_INT8;
  op.require(bytes == (q.x2.dtype() == ACL_INT8), "{}, but x1 is {}", q.x2.text(),
             name_of(q.x1.dtype()));
  const Dims left = operand_dims(op, q.x1, q.transpose1);
  const Dims right = operand_dims(op, q.x2, q.transpose2);
  q.m = left[left.size() - 2];
  q.k = left.back();
  q.n = right.back();
  op.require(q.k == right[right.size() - 2],
             "{} with transposeX2 {}, but x1 {} with transposeX1 {} has {} columns", q.x2.text(),
             q.transpose2, q.x1.desc().text(), q.transpose1, q.k);
  q.batch = broadcast_batch(op, leading(left, 2), leading(right, 2), q.x2);
  Dims expected = q.batch;
  expected.push_back(q.m);
  expected.push_back(q.n);
  op.expect_shape(q.out, expected);
  check_types(op, q);
  check_vectors(op, q);
  op.matmul_cost(bytes ? CubeRate::i8 : CubeRate::i4, q.batch.product(), q.m, q.n, q.k);
  op.cost().launch = Launch::quantised_matmul;
  op.compute([q] { run(q); });
}

}  // namespace

// clang-format off
ACLNN(aclnnQuantMatmulV4, const aclTensor* x1, const aclTensor* x2, const aclTensor* scale, const aclTensor* offset, const aclTensor* pertokenScaleOptional, const aclTensor* bias, bool transposeX1, bool transposeX2, const aclTensor* out) {
  constexpr DtypeSet kScales = kPackedScale | DtypeSet{ACL_FLOAT, ACL_BF16};
  QuantMatmul q;
  q.x1 = op.in("x1", x1, kOperands);
  q.x2 = op.in("x2", x2, kOperands, Layout::any);
  q.scale = op.in("scale", scale, kScales);
  q.offset = op.optional_in("offset", offset, {ACL_FLOAT});
  q.token_scale = op.optional_in("pertokenScaleOptional", pertokenScaleOptional, {ACL_FLOAT});
  q.bias = op.optional_in("bias", bias, {ACL_INT32, ACL_BF16, ACL_FLOAT16, ACL_FLOAT});
  q.out = op.out("out", out, {ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32});
  q.transpose1 = transposeX1;
  q.transpose2 = transposeX2;
  describe(op, q);
} ACLNN_END
ACLNN(aclnnQuantMatmulV3, const aclTensor* x1, const aclTensor* x2, const aclTensor* scale, const aclTensor* offset, const aclTensor* bias, bool transposeX1, bool transposeX2, const aclTensor* out) {
  constexpr DtypeSet kScales = kPackedScale | DtypeSet{ACL_FLOAT, ACL_BF16};
  QuantMatmul q;
  q.x1 = op.in("x1", x1, {ACL_INT8});
  q.x2 = op.in("x2", x2, {ACL_INT8}, Layout::any);
  q.scale = op.in("scale", scale, kScales);
  q.offset = op.optional_in("offset", offset, {ACL_FLOAT});
  q.bias = op.optional_in("bias", bias, {ACL_INT32, ACL_BF16});
  q.out = op.out("out", out, {ACL_FLOAT16, ACL_BF16, ACL_INT8});
  q.transpose1 = transposeX1;
  q.transpose2 = transposeX2;
  describe(op, q);
} ACLNN_END
ACLNN(aclnnQuantMatmulWeightNz, const aclTensor* x1, const aclTensor* x2, const aclTensor* x1Scale, const aclTensor* x2Scale, const aclTensor* yScale, const aclTensor* x1Offset, const aclTensor* x2Offset, const aclTensor* yOffset, const aclTensor* bias, bool transposeX1, bool transposeX2, int64_t groupSize, aclTensor* out) {
  constexpr DtypeSet kScales = kPackedScale | DtypeSet{ACL_FLOAT, ACL_BF16};
  op.require(yScale == nullptr && x1Offset == nullptr && yOffset == nullptr, "arguments yScale, x1Offset and yOffset are reserved and must be null");
  op.require(groupSize == 0, "argument groupSize: got {}, expected 0", groupSize);
  QuantMatmul q;
  q.x1 = op.in("x1", x1, {ACL_INT8});
  q.x2 = op.in("x2", x2, {ACL_INT8}, Layout::any);
  q.scale = op.in("x2Scale", x2Scale, kScales);
  q.offset = op.optional_in("x2Offset", x2Offset, {ACL_FLOAT});
  q.token_scale = op.optional_in("x1Scale", x1Scale, {ACL_FLOAT});
  q.bias = op.optional_in("bias", bias, {ACL_INT32, ACL_BF16, ACL_FLOAT16, ACL_FLOAT});
  q.out = op.out("out", out, {ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32});
  q.transpose1 = transposeX1;
  q.transpose2 = transposeX2;
  op.require(q.x2.desc().is_fractal(), "{}, expected FRACTAL_NZ", q.x2.text());
  describe(op, q);
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
