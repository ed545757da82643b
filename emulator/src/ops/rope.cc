// aclnnRotaryPositionEmbedding.
#include "aclnnop/rope.h"

#include <vector>

#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kRopeDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

enum Mode : int64_t { half = 0, interleave = 1, quarter = 2, interleave_half = 3 };

// values · cos + rotated · sin. Pairs (i, i + step) of `values` turn by 90 degrees in `rotated`.
void rotate_pair(const float* x, int64_t first, int64_t second, const float* cos, const float* sin,
                 float* y) {
  y[first] = x[first] * cos[first] - x[second] * sin[first];
  y[second] = x[second] * cos[second] + x[first] * sin[second];
}

void rotate(int64_t mode, const float* x, const float* cos, const float* sin, int64_t size,
            float* y) {
  if (mode == interleave) {
    for (int64_t i = 0; i < size; i += 2) rotate_pair(x, i, i + 1, cos, sin, y);
    return;
  }
  if (mode == interleave_half) {  // even elements become the first half of y, odd ones the second
    for (int64_t i = 0; i < size / 2; ++i) {
      const int64_t other = size / 2 + i;
      y[i] = x[2 * i] * cos[i] - x[2 * i + 1] * sin[i];
      y[other] = x[2 * i + 1] * cos[other] + x[2 * i] * sin[other];
    }
    return;
  }
  const int64_t part = mode == half ? size : size / 2;
  for (int64_t start = 0; start < size; start += part) {
    for (int64_t i = 0; i < part / 2; ++i) {
      rotate_pair(x, start + i, start + part / 2 + i, cos, sin, y);
    }
  }
}

}  // namespace

// clang-format off
ACLNN(aclnnRotaryPositionEmbedding, const aclTensor* x, const aclTensor* cos, const aclTensor* sin, int64_t mode, const aclTensor* out) {
  const Tensor input = op.in("x", x, kRopeDtypes), y = op.out("out", out, kRopeDtypes);
  const Tensor cosines = op.in("cos", cos, kRopeDtypes), sines = op.in("sin", sin, kRopeDtypes);
  op.expect_rank(input, 4, 4);
  op.expect_shape(y, input.dims());
  op.require(mode >= half && mode <= interleave_half,
             "argument mode: got {}, expected 0 (half), 1 (interleave), 2 (quarter) or 3 (interleave-half)", mode);
  const int64_t size = input.size(3), multiple = mode == quarter ? 4 : 2;
  op.require(size % multiple == 0, "{}, whose last dimension is no multiple of {}", input.text(), multiple);
  for (const Tensor& table : {cosines, sines}) {
    op.expect_rank(table, 4, 4);
    op.require(op.broadcast(input, table) == input.dims() && table.size(3) == size,
               "{}, which does not broadcast to x {}", table.text(), input.desc().text());
    op.expect_dtype(table, input.dtype());
  }
  op.expect_shape(sines, cosines.dims());
  op.expect_dtype(y, input.dtype());
  op.cost().vector_ops = 4 * static_cast<double>(input.count());
  op.compute([=] {
    if (input.count() == 0) return;
    const View from = input.view(), to = y.view();
    const View c = cosines.view().broadcast_to(input.dims()), s = sines.view().broadcast_to(input.dims());
    parallel_for(from.rows(), row_grain(size), [&](int64_t begin, int64_t end) {
      std::vector<float> buffer(static_cast<size_t>(4 * size));
      float *values = buffer.data(), *turn_c = values + size, *turn_s = turn_c + size, *result = turn_s + size;
      for (int64_t row = begin; row < end; ++row) {
        from.load_row(row, values);
        c.load_row(row, turn_c);
        s.load_row(row, turn_s);
        rotate(mode, values, turn_c, turn_s, size, result);
        to.store_row(row, result);
      }
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
