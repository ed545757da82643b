// aclnnWeightQuantBatchMatmulV2 and V3, aclnnConvertWeightToINT4Pack: products of floats with
// weights of few bits.
#include <vector>

#include "aclnnop/quant_matmul.h"
#include "ops/dequantise.h"
#include "ops/fractal.h"
#include "ops/int4.h"
#include "ops/matmul.h"
#include "ops/quant.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kMostColumns = 65535;

struct WeightQuant {
  Tensor x, weight, scale, offset, quant_scale, quant_offset, bias, y;
  int64_t m = 0, n = 0, k = 0;
  int64_t group = 0;  // rows of weight that share a scale
};

bool is_transposed(const Tensor& matrix) {
  return matrix.desc().strides[0] == 1 && matrix.desc().strides[1] != 1;
}

void check_weight(Op& op, WeightQuant& q, int64_t group) {
  const bool bytes = q.weight.dtype() == ACL_INT8;
  if (!bytes) expect_packed(op, q.weight);
  const Dims dims = unpacked_dims(q.weight);
  q.n = dims[1];
  op.require(dims[0] == q.k, "{}, expected {} rows, as x {} has columns", q.weight.text(), q.k,
             q.x.desc().text());
  op.require(q.k >= 1 && q.k <= kMostColumns && q.n >= 1 && q.n <= kMostColumns,
             "{}: {} rows and {} columns, expected 1 to {} of each; split the weight",
             q.weight.text(), q.k, q.n, kMostColumns);
  op.require(bytes || is_transposed(q.weight) ? q.k % (bytes ? 1 : 2) == 0 : q.n % 2 == 0,
             "{}, whose rows in memory have an odd count of INT4", q.weight.text());
  op.require(group == 0 || (group >= 32 && group < q.k && group % 32 == 0),
             "argument antiquantGroupSize: got {}, expected 0 or a multiple of 32 from 32 to k - 1 "
             "= {}",
             group, q.k - 1);
  q.group = group == 0 ? q.k : group;
  if (bytes || group == 0 || !q.weight.desc().is_fractal()) return;
  op.require(group == 64 || group == 128,
             "argument antiquantGroupSize: got {}, but a FRACTAL_NZ weight of INT4 takes 64 or 128",
             group);
  op.require(q.n % 64 == 0 && q.k % group == 0,
             "{}: FRACTAL_NZ of INT4 in groups needs columns in multiples of 64 and rows in "
             "multiples of the group of {}",
             q.weight.text(), group);
  op.require(!is_transposed(q.weight) && !is_transposed(q.x),
             "{}: FRACTAL_NZ of INT4 in groups takes no transposed x or weight", q.weight.text());
}

void check_scales(Op& op, const WeightQuant& q) {
  const int64_t groups = (q.k + q.group - 1) / q.group;
  const Dims by_group = {groups, q.n}, by_column = {q.n};
  const bool one = q.scale.count() == 1 && groups == 1;
  op.require(one || q.scale.dims() == by_group || (groups == 1 && q.scale.dims() == by_column),
             "{}, expected shape {}{}", q.scale.text(), text_of(by_group),
             groups == 1 ? ", or one number, or one a column" : "");
  op.expect_dtype(q.scale, q.x.dtype());
  if (q.offset.present()) {
    op.expect_shape(q.offset, q.scale.dims());
    op.expect_dtype(q.offset, q.x.dtype());
  }
}

void check_result(Op& op, const WeightQuant& q) {
  op.expect_shape(q.y, {q.m, q.n});
  if (q.bias.present()) {
    op.require(q.bias.count() == q.n, "{}, expected {} elements", q.bias.text(), q.n);
    op.expect_dtype(q.bias, q.x.dtype() == ACL_BF16 ? ACL_FLOAT : ACL_FLOAT16);
  }
  const bool quantised = q.quant_scale.present();
  op.expect_dtype(q.y, quantised ? ACL_INT8 : q.x.dtype());
  op.require(quantised || !q.quant_offset.present(),
             "argument quantOffsetOptional: it needs quantScaleOptional");
  for (const Tensor& tensor : {q.quant_scale, q.quant_offset}) {
    if (!tensor.present()) continue;
    op.require(tensor.count() == 1 || tensor.count() == q.n, "{}, expected 1 or {} elements",
               tensor.text(), q.n);
  }
}

// [groups, n] row-major, from one number, a row, or all.
std::vector<float> spread(const Tensor& tensor, int64_t groups, int64_t n) {
  const Dims all = {groups, n};
  const View view = tensor.view();
  return read<float>(tensor.count() == 1 && tensor.rank() == 2 ? view.broadcast_to(all)
                     : tensor.rank() == 1                      ? view.broadcast_to(all)
                                                               : view);
}

std::vector<float> columns_of(const Tensor& tensor, int64_t n) {
  std::vector<float> values;
  if (!tensor.present()) return values;
  if (tensor.dtype() == ACL_UINT64 || tensor.dtype() == ACL_INT64) {
    for (const int64_t packed : read<int64_t>(tensor.view())) {
      values.push_back(packed_scale(packed));
    }
  } else {
    values = read<float>(tensor.view());
  }
  if (values.size() == 1) values.resize(static_cast<size_t>(n), values[0]);
  return values;
}

void run(const WeightQuant& q) {
  const int64_t group_count = (q.k + q.group - 1) / q.group;
  GroupScales groups{spread(q.scale, group_count, q.n), {}, q.group, q.n};
  if (q.offset.present()) groups.offsets = spread(q.offset, group_count, q.n);
  const std::vector<float> bias = columns_of(q.bias, q.n);
  const std::vector<float> factors = columns_of(q.quant_scale, q.n);
  const std::vector<float> shifts = columns_of(q.quant_offset, q.n);
  const View out = q.y.view();
  const auto finish = [&](int64_t row, int64_t column, int64_t count, float* values) {
    const auto c = static_cast<size_t>(column);
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = c + static_cast<size_t>(i);
      if (!bias.empty()) values[i] += bias[at];
      if (factors.empty()) continue;
      const float scaled = values[i] * factors[at] + (shifts.empty() ? 0 : shifts[at]);
      values[i] = whole_within(scaled, -128, 127);
    }
    const int64_t stride = out.strides()[1];
    out.store(out.row_index(row) + column * stride, stride, count, values);
  };
  multiply<float>(q.x.view(), unpacked_view(q.weight), InputRounding::none, finish,
                  dequantiser(groups, q.x.dtype()));
}

void describe(Op& op, const aclTensor* x, const aclTensor* weight, const aclTensor* scale,
              const aclTensor* offset, const aclTensor* quant_scale, const aclTensor* quant_offset,
              const aclTensor* bias, int group, const aclTensor* y) {
  WeightQuant q;
  q.x = op.in("x", x, kHalf);
  q.weight = op.in("weight", weight, {ACL_INT8, ACL_INT4, ACL_INT32}, Layout::any);
  q.scale = op.in("antiquantScale", scale, kHalf);
  q.offset = op.optional_in("antiquantOffsetOptional", offset, kHalf);
  q.quant_scale =
      op.optional_in("quantScaleOptional", quant_scale, {ACL_FLOAT, ACL_UINT64, ACL_INT64});
  q.quant_offset = op.optional_in("quantOffsetOptional", quant_offset, {ACL_FLOAT});
  q.bias = op.optional_in("biasOptional", bias, {ACL_FLOAT16, ACL_FLOAT});
  q.y = op.out("y", y, {ACL_FLOAT16, ACL_BF16, ACL_INT8});
  op.expect_rank(q.x, 2, 2);
  op.expect_rank(q.weight, 2, 2);
  q.m = q.x.size(0);
  q.k = q.x.size(1);
  check_weight(op, q, group);
  check_scales(op, q);
  check_result(op, q);
  op.matmul_cost(CubeRate::f16, 1, q.m, q.n, q.k);
  op.cost().launch = Launch::quantised_matmul;
  op.cost().vector_ops = 2 * static_cast<double>(q.k) * static_cast<double>(q.n);
  op.compute([q] { run(q); });
}

}  // namespace

// clang-format off
ACLNN(aclnnWeightQuantBatchMatmulV2, const aclTensor* x, const aclTensor* weight, const aclTensor* antiquantScale, const aclTensor* antiquantOffsetOptional, const aclTensor* quantScaleOptional, const aclTensor* quantOffsetOptional, const aclTensor* biasOptional, int antiquantGroupSize, const aclTensor* y) {
  describe(op, x, weight, antiquantScale, antiquantOffsetOptional, quantScaleOptional, quantOffsetOptional, biasOptional, antiquantGroupSize, y);
} ACLNN_END
ACLNN(aclnnWeightQuantBatchMatmulV3, const aclTensor* x, const aclTensor* weight, const aclTensor* antiquantScale, const aclTensor* antiquantOffsetOptional, const aclTensor* quantScaleOptional, const aclTensor* quantOffsetOptional, const aclTensor* biasOptional, int antiquantGroupSize, int innerPrecise, const aclTensor* y) {
  op.require(innerPrecise == 0 || innerPrecise == 1, "argument innerPrecise: got {}, expected 0 or 1", innerPrecise);
  describe(op, x, weight, antiquantScale, antiquantOffsetOptional, quantScaleOptional, quantOffsetOptional, biasOptional, antiquantGroupSize, y);
} ACLNN_END
ACLNN(aclnnConvertWeightToINT4Pack, const aclTensor* weight, aclTensor* weightInt4Pack) {
  const Tensor from = op.in("weight", weight, {ACL_INT32}), to = op.out("weightInt4Pack", weightInt4Pack, {ACL_INT4, ACL_INT32}, Layout::any);
  op.expect_rank(from, 2, 3);
  expect_packed(op, to);
  op.require(unpacked_dims(to) == from.dims(), "{}, expected {} elements of INT4", to.text(), text_of(from.dims()));
  op.require(from.dims().back() % 8 == 0, "{}, whose last dimension is no multiple of 8", from.text());
  const Dims storage = fractal_storage(to.dims(), to.dtype());
  const bool fractal = to.desc().format == ACL_FORMAT_FRACTAL_NZ;
  op.require(!fractal || to.desc().storage == storage, "{}, expected storage of shape {}", to.text(), text_of(storage));
  const Tensor memory = fractal ? fractal_memory(to, storage) : Tensor();
  op.compute([=] {
    const View view = from.view();
    for (const int32_t value : read<int32_t>(view)) {
      if (value < -8 || value > 7) fail(kVectorFault, "argument weight: it holds {}, but INT4 ends at -8 and 7", value);
    }
    if (!fractal) return write<int32_t>(unpacked_view(to), read<int32_t>(view));
    // In units of INT4, a block has 64 columns whatever the type that packs them.
    const View flat = to.dtype() == ACL_INT32 ? memory.view().as_int4() : memory.view();
    write_fractal(flat, fractal_storage(from.dims(), ACL_INT4), from.dims(), [&](int64_t row, float* values) { view.load_row(row, values); });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
