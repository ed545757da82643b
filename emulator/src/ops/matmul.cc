// aclnnMm, aclnnMatmul, aclnnMatmulWeightNz, aclnnBatchMatMul, aclnnMv: products of floats, summed
// in FP32.
#include "ops/matmul.h"

#include "aclnnop/matmul.h"

namespace lotse::emulator {
namespace {

enum MathType : int8_t { keep_dtype = 0, allow_lower = 1, use_fp16 = 2, use_hf32 = 3 };

// The batch dimensions of both, broadcast.
Dims batch_of(const Op& op, const Tensor& a, const Tensor& b) {
  const int64_t rank = std::max(a.rank(), b.rank()) - 2;
  Dims batch = Dims::filled(std::max<int64_t>(rank, 0), 1);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const int64_t in_a = i - rank + a.rank() - 2, in_b = i - rank + b.rank() - 2;
    const int64_t first = in_a >= 0 ? a.size(in_a) : 1;
    const int64_t second = in_b >= 0 ? b.size(in_b) : 1;
    op.require(first == second || first == 1 || second == 1,
               "{}, whose batch does not broadcast with {} {}", b.text(), a.argument(),
               a.desc().text());
    batch[i] = first == 1 ? second : first;
  }
  return batch;
}

Dims appended(Dims dims, int64_t rows, int64_t columns) {
  dims.push_back(rows);
  dims.push_back(columns);
  return dims;
}

struct Arguments {
  Tensor a, b, out;
  InputRounding rounding;
};

Arguments arguments(Op& op, const aclTensor* self, const aclTensor* mat2, const char* second,
                    const aclTensor* out, int8_t cubeMathType) {
  Arguments args{op.in("self", self, kMatmulDtypes),
                 op.in(second, mat2, kMatmulDtypes, Layout::any), op.out("out", out, kMatmulDtypes),
                 InputRounding::none};
  const aclDataType type = promoted(args.a.dtype(), args.b.dtype());
  args.rounding = input_rounding(op, cubeMathType, type);
  return args;
}

// Vectors count as one row or one column, which `out` then lacks.
void product(Op& op, const Arguments& args) {
  const auto& [a, b, out, rounding] = args;
  op.expect_rank(a, 1, kMaxRank);
  op.expect_rank(b, 1, kMaxRank);
  const bool row = a.rank() == 1, column = b.rank() == 1;
  const int64_t m = row ? 1 : a.size(a.rank() - 2), k = a.dims().back();
  const int64_t n = column ? 1 : b.dims().back();
  const int64_t other_k = column ? b.size(0) : b.size(b.rank() - 2);
  op.require(k == other_k, "{}, but {} {} has {} columns", b.text(), a.argument(), a.desc().text(),
             k);
  const Dims batch = batch_of(op, a, b);
  Dims expected = batch;
  if (!row) expected.push_back(m);
  if (!column) expected.push_back(n);
  op.expect_shape(out, expected);
  op.matmul_cost(cube_rate(promoted(a.dtype(), b.dtype()), rounding), batch.product(), m, n, k);
  op.compute([=] {
    const View left = row ? a.view().unsqueezed(0) : a.view();
    const View right = column ? b.view().unsqueezed(1) : b.view();
    View result = out.view();
    if (row) result = result.unsqueezed(column ? result.rank() : result.rank() - 1);
    if (column) result = result.unsqueezed(result.rank());
    multiply_batches(left.broadcast_to(appended(batch, m, k)),
                     right.broadcast_to(appended(batch, k, n)), result, rounding);
  });
}

}  // namespace

InputRounding input_rounding(const Op& op, int8_t cubeMathType, aclDataType dtype) {
  op.require(cubeMathType >= keep_dtype && cubeMathType <= use_hf32,
             "argument cubeMathType: got {}, expected 0 (keep), 1 (allow lower), 2 (FP16) or 3 "
             "(HF32)",
             static_cast<int>(cubeMathType));
  if (dtype != ACL_FLOAT) return InputRounding::none;
  if (cubeMathType == use_fp16) return InputRounding::half;
  if (soc().cube_dtypes.contains(ACL_FLOAT)) {
    return cubeMathType == keep_dtype ? InputRounding::none : InputRounding::hf32;
  }
  op.require(cubeMathType == allow_lower,
             "argument cubeMathType: got {} with FLOAT, but {} multiplies {}; use 1 or 2 for FP16",
             static_cast<int>(cubeMathType), soc().name, names_of(soc().cube_dtypes));
  return InputRounding::half;
}

CubeRate cube_rate(aclDataType dtype, InputRounding rounding) {
  if (rounding == InputRounding::hf32) return CubeRate::hf32;
  return dtype == ACL_FLOAT && rounding == InputRounding::none ? CubeRate::f32 : CubeRate::f16;
}

void multiply_batches(const View& a, const View& b, const View& out, InputRounding rounding) {
  if (out.count() == 0) return;
  if (a.rank() > 2) {
    for (int64_t i = 0; i < a.size(0); ++i) {
      multiply_batches(a.select(0, i), b.select(0, i), out.select(0, i), rounding);
    }
    return;
  }
  multiply<float>(a, b, rounding, [&](int64_t row, int64_t column, int64_t count, float* values) {
    const int64_t stride = out.strides()[1];
    out.store(out.row_index(row) + column * stride, stride, count, values);
  });
}

// clang-format off
ACLNN(aclnnMatmul, const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cubeMathType) {
  product(op, arguments(op, self, mat2, "mat2", out, cubeMathType));
} ACLNN_END
ACLNN(aclnnMm, const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cubeMathType) {
  const Arguments args = arguments(op, self, mat2, "mat2", out, cubeMathType);
  op.expect_rank(args.a, 2, 2);
  op.expect_rank(args.b, 2, 2);
  product(op, args);
} ACLNN_END
ACLNN(aclnnMatmulWeightNz, const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cubeMathType) {
  op.require(soc().dtypes.contains(ACL_BF16), "{} has no such operator", soc().name);
  Arguments args{op.in("self", self, kHalf), op.in("mat2", mat2, kHalf, Layout::any), op.out("out", out, kHalf), InputRounding::none};
  op.expect_rank(args.a, 2, 2);
  op.expect_rank(args.b, 2, 2);
  op.require(args.b.desc().is_fractal(), "{}, expected FRACTAL_NZ", args.b.text());
  for (const Tensor& tensor : {args.b, args.out}) op.expect_dtype(tensor, args.a.dtype());
  args.rounding = input_rounding(op, cubeMathType, args.a.dtype());
  product(op, args);
} ACLNN_END
ACLNN(aclnnBatchMatMul, const aclTensor* self, const aclTensor* mat2, aclTensor* out, int8_t cubeMathType) {
  const Arguments args = arguments(op, self, mat2, "mat2", out, cubeMathType);
  op.expect_rank(args.a, 3, 3);
  op.expect_rank(args.b, 3, 3);
  product(op, args);
} ACLNN_END
ACLNN(aclnnMv, const aclTensor* self, const aclTensor* vec, aclTensor* out, int8_t cubeMathType) {
  const Arguments args = arguments(op, self, vec, "vec", out, cubeMathType);
  op.expect_rank(args.a, 2, 2);
  op.expect_rank(args.b, 1, 1);
  product(op, args);
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
