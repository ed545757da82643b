// aclnnSoftmax.
#include "aclnnop/softmax.h"

#include <cmath>
#include <vector>

#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/softmax.h"

namespace lotse::emulator {

void softmax_row(float* values, int64_t count) {
  float largest = -INFINITY;
  for (int64_t i = 0; i < count; ++i) largest = largest < values[i] ? values[i] : largest;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    values[i] = exponential(values[i] - largest);
    sum += static_cast<double>(values[i]);
  }
  const auto inverse = static_cast<float>(1 / sum);
  for (int64_t i = 0; i < count; ++i) values[i] *= inverse;
}

// clang-format off
ACLNN(aclnnSoftmax, const aclTensor* self, int64_t dim, aclTensor* out) {
  const Tensor x = op.in("self", self, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  const Tensor y = op.out("out", out, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  op.expect_shape(y, x.dims());
  const int64_t along = op.dim("dim", dim, x);
  op.cost().vector_ops = 5 * static_cast<double>(x.count());
  op.compute([=] {
    const View from = x.view().moved_last(along), to = y.view().moved_last(along);
    const int64_t length = from.row_length();
    if (from.count() == 0) return;
    parallel_for(from.rows(), row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(length));
      for (int64_t row = begin; row < end; ++row) {
        from.load_row(row, values.data());
        softmax_row(values.data(), length);
        to.store_row(row, values.data());
      }
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
