// aclnnRmsNorm and aclnnAddRmsNorm.
#include "aclnnop/rms_norm.h"

#include <cmath>
#include <vector>

#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kNormDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

struct Norm {
  Tensor gamma, y, rstd;
  float epsilon = 0;
  int64_t count = 0;   // of norms
  int64_t rows = 0;    // of one norm
  int64_t length = 0;  // of a row

  // Normalises `values`, the sum of whose rows is norm `index`.
  void apply(int64_t index, float* values, const float* scales, const View& out,
             float& inverse) const {
    const int64_t size = rows * length;
    const double mean = sum_of_squares(values, size) / static_cast<double>(size);
    inverse = static_cast<float>(1 / std::sqrt(mean + static_cast<double>(epsilon)));
    for (int64_t i = 0; i < size; ++i) values[i] = values[i] * inverse * scales[i];
    for (int64_t r = 0; r < rows; ++r) out.store_row(index * rows + r, values + r * length);
  }
};

Norm norm_of(Op& op, const Tensor& x, const aclTensor* gamma, double epsilon, const aclTensor* yOut,
             const aclTensor* rstdOut) {
  Norm norm;
  norm.gamma = op.in("gamma", gamma, kNormDtypes);
  norm.y = op.out("yOut", yOut, kNormDtypes);
  norm.rstd = op.out("rstdOut", rstdOut, {ACL_FLOAT});
  norm.epsilon = static_cast<float>(epsilon);
  op.expect_rank(x, 1, kMaxRank);
  op.expect_rank(norm.gamma, 1, x.rank());
  op.require(norm.gamma.dtype() == x.dtype() || norm.gamma.dtype() == ACL_FLOAT,
             "{}, expected {} as x, or FLOAT", norm.gamma.text(), name_of(x.dtype()));
  const int64_t skipped = x.rank() - norm.gamma.rank();
  norm.count = 1;
  for (int64_t i = 0; i < skipped; ++i) norm.count *= x.size(i);
  for (int64_t i = skipped; i < x.rank(); ++i) {
    op.require(norm.gamma.size(i - skipped) == x.size(i),
               "{}, which is not the end of the shape of {} {}", norm.gamma.text(), x.argument(),
               x.desc().text());
  }
  norm.length = x.dims().back();
  norm.rows = norm.length == 0 ? 0 : norm.gamma.count() / norm.length;
  op.expect_dtype(norm.y, x.dtype());
  op.expect_shape(norm.y, x.dims());
  op.require(norm.rstd.count() == norm.count, "{}, expected {} elements, one a norm",
             norm.rstd.text(), norm.count);
  return norm;
}

// load(row, values) fills one row of x.
template <class Load>
void run(const Norm& norm, const Load& load) {
  if (norm.rows == 0 || norm.count == 0) return;
  const std::vector<float> scales = read<float>(norm.gamma.view());
  const View out = norm.y.view();
  std::vector<float> inverses(static_cast<size_t>(norm.count));
  const int64_t size = norm.rows * norm.length;
  parallel_for(norm.count, row_grain(size), [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(size));
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t r = 0; r < norm.rows; ++r) {
        load(i * norm.rows + r, values.data() + r * norm.length);
      }
      norm.apply(i, values.data(), scales.data(), out, inverses[static_cast<size_t>(i)]);
    }
  });
  write<float>(norm.rstd.view(), inverses);
}

}  // namespace

// clang-format off
ACLNN(aclnnRmsNorm, const aclTensor* x, const aclTensor* gamma, double epsilon, const aclTensor* yOut, const aclTensor* rstdOut) {
  const Tensor input = op.in("x", x, kNormDtypes);
  const Norm norm = norm_of(op, input, gamma, epsilon, yOut, rstdOut);
  op.compute([=] {
    const View view = input.view();
    run(norm, [&](int64_t row, float* values) { view.load_row(row, values); });
  });
} ACLNN_END
ACLNN(aclnnAddRmsNorm, const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma, double epsilon, const aclTensor* yOut, const aclTensor* rstdOut, const aclTensor* xOut) {
  const Tensor a = op.in("x1", x1, kNormDtypes), b = op.in("x2", x2, kNormDtypes);
  const Norm norm = norm_of(op, a, gamma, epsilon, yOut, rstdOut);
  const Tensor sum = op.out("xOut", xOut, kNormDtypes);
  for (const Tensor& tensor : {b, sum}) {
    op.expect_dtype(tensor, a.dtype());
    op.expect_shape(tensor, a.dims());
  }
  op.compute([=] {
    const View first = a.view(), second = b.view(), out = sum.view();
    run(norm, [&](int64_t row, float* values) {
      std::vector<float> added(static_cast<size_t>(norm.length));
      first.load_row(row, values);
      second.load_row(row, added.data());
      for (int64_t i = 0; i < norm.length; ++i) added[static_cast<size_t>(i)] += values[i];
      out.store_row(row, added.data());
      out.load_row(row, values);  // rounded
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
