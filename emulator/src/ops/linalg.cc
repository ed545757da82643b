// aclnnTriangularSolve.
#include "aclnnop/linalg.h"

#include <vector>

#include "ops/copy.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// Solves a · x = b by substitution, in double; a is [n, n] of which one triangle counts. `b` holds
// [n, k] and becomes x.
void substitute(const std::vector<double>& a, std::vector<double>& b, int64_t n, int64_t k,
                bool upper, bool unit) {
  const auto at = [](int64_t row, int64_t width, int64_t column) {
    return static_cast<size_t>(row * width + column);
  };
  for (int64_t step = 0; step < n; ++step) {
    const int64_t row = upper ? n - 1 - step : step;
    const int64_t first = upper ? row + 1 : 0, last = upper ? n : row;
    for (int64_t column = 0; column < k; ++column) {
      double& value = b[at(row, k, column)];
      for (int64_t i = first; i < last; ++i) value -= a[at(row, n, i)] * b[at(i, k, column)];
      if (!unit) value /= a[at(row, n, row)];
    }
  }
}

// The dimensions before the last two.
Dims batch_of(const Tensor& tensor) {
  Dims batch = tensor.dims();
  batch.erase(batch.size() - 1);
  batch.erase(batch.size() - 1);
  return batch;
}

// Calls f for the matrices of each batch of three views of equal batches.
template <class F>
void for_each_matrix(const View& a, const View& b, const View& c, const F& f) {
  if (a.rank() == 2) return f(a, b, c);
  for (int64_t i = 0; i < a.size(0); ++i) {
    for_each_matrix(a.select(0, i), b.select(0, i), c.select(0, i), f);
  }
}

}  // namespace

// clang-format off
ACLNN(aclnnTriangularSolve, const aclTensor* self, const aclTensor* A, bool upper, bool transpose, bool unitriangular, aclTensor* xOut, aclTensor* mOut) {
  const DtypeSet types = {ACL_FLOAT, ACL_DOUBLE};
  const Tensor b = op.in("self", self, types), a = op.in("A", A, {b.dtype()});
  const Tensor x = op.out("xOut", xOut, {b.dtype()}), m = op.out("mOut", mOut, {b.dtype()});
  op.expect_rank(b, 2, kMaxRank);
  op.expect_rank(a, b.rank(), b.rank());
  const int64_t rank = b.rank(), n = b.size(rank - 2), k = b.size(rank - 1);
  op.require(a.size(rank - 2) == n && a.size(rank - 1) == n, "{}, expected matrices of {} by {} for self {}",
             a.text(), n, n, b.desc().text());
  Dims batch = batch_of(b);
  for (int64_t i = 0; i < batch.size(); ++i) {
    op.require(a.size(i) == batch[i] || a.size(i) == 1 || batch[i] == 1, "{}, whose batch does not broadcast with self {}",
               a.text(), b.desc().text());
    if (batch[i] == 1) batch[i] = a.size(i);
  }
  Dims solution = batch, matrices = batch;
  for (const int64_t size : {n, k}) solution.push_back(size);
  for (const int64_t size : {n, n}) matrices.push_back(size);
  op.expect_shape(x, solution);
  op.expect_shape(m, matrices);
  op.cost().vector_ops = static_cast<double>(x.count()) * static_cast<double>(n);
  op.compute([=] {
    const View from = a.view().broadcast_to(matrices);
    for_each_matrix(from, b.view().broadcast_to(solution), x.view(), [&](const View& left, const View& right, const View& result) {
      const std::vector<double> coefficients = read<double>(transpose ? left.transposed(0, 1) : left);
      std::vector<double> values = read<double>(right);
      substitute(coefficients, values, n, k, upper != transpose, unitriangular);
      write<double>(result, values);
    });
    copy_elements(from, m.view());
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
