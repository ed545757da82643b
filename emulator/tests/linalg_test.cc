// Triangular systems: the solution is put back into the equation.
#include "aclnnop/linalg.h"

#include <cmath>

#include "support.h"

namespace emulator_test {
namespace {

class LinearAlgebra : public DeviceTest {};

// Random, with a diagonal that keeps the system well conditioned.
Tensor coefficients(aclDataType dtype, const Shape& dims) {
  std::vector<double> values = Tensor::random(dtype, dims, 5, false, -0.5, 0.5).values();
  const auto n = static_cast<size_t>(dims.back());
  for (size_t i = 0; i < values.size(); ++i) {
    if (i / n % n == i % n) values[i] += values[i] < 0 ? -2 : 2;
  }
  return Tensor(dtype, dims, values);
}

TEST_F(LinearAlgebra, TriangularSolve) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_DOUBLE}) {
    for (const Shape& batch : {Shape{}, Shape{2, 3}}) {
      for (const int flags : {0, 1, 2, 3, 4, 5, 6, 7}) {
        const bool upper = flags & 1, transpose = flags & 2, unit = flags & 4;
        SCOPED_TRACE(testing::Message() << dtype << " " << flags);
        const int64_t n = 6, k = 4;
        Shape matrix = batch, right = batch;
        matrix.insert(matrix.end(), {n, n});
        right.insert(right.end(), {n, k});
        const Tensor a = coefficients(dtype, matrix), b = Tensor::random(dtype, right, 6, true);
        const Tensor x = Tensor::output(dtype, right, true),
                     m = Tensor::output(dtype, matrix, true);
        RUN(aclnnTriangularSolve, b, a, upper, transpose, unit, x, m);
        expect_values(m, [&](const Shape& at) { return a.at(at); }, 0);
        const Tensor solution(dtype, right, x.fetch());
        const double allowed = dtype == ACL_FLOAT ? 2e-5 : 1e-13;
        for_each_position(right, [&](const Shape& at) {
          const size_t rows = at.size() - 2, columns = rows + 1;
          double product = 0;
          for (int64_t i = 0; i < n; ++i) {
            Shape element = at, row = at;
            element[columns] = row[rows] = i;
            if (transpose) std::swap(element[rows], element[columns]);
            const bool counts =
                upper ? element[rows] <= element[columns] : element[rows] >= element[columns];
            if (!counts) continue;
            const bool diagonal = element[rows] == element[columns];
            product += (diagonal && unit ? 1 : a.at(element)) * solution.at(row);
          }
          EXPECT_NEAR(product, b.at(at), allowed);
        });
      }
    }
  }
}

TEST_F(LinearAlgebra, TriangularSolveBroadcastsBatches) {
  const Tensor a = coefficients(ACL_FLOAT, {1, 3, 3}), b = Tensor::random(ACL_FLOAT, {2, 3, 1}, 6);
  const Tensor x = Tensor::output(ACL_FLOAT, {2, 3, 1}), m = Tensor::output(ACL_FLOAT, {2, 3, 3});
  RUN(aclnnTriangularSolve, b, a, false, false, false, x, m);
  expect_values(m, [&](const Shape& at) { return a.at(at); }, 0);
  const auto values = x.fetch();
  EXPECT_NEAR(values[0] * a.at({0, 0, 0}), b.at({0, 0, 0}), 1e-6);
  EXPECT_NEAR(values[3] * a.at({0, 0, 0}), b.at({1, 0, 0}), 1e-6);
}

TEST_F(LinearAlgebra, Refusals) {
  const Tensor a = Tensor::random(ACL_FLOAT, {3, 3}, 1), b = Tensor::random(ACL_FLOAT, {4, 2}, 1);
  const Tensor half = Tensor::random(ACL_FLOAT16, {3, 3}, 1);
  EXPECT_REFUSED(161002, "argument A: got FLOAT [3, 3], expected matrices of 4 by 4 for self",
                 aclnnTriangularSolve, b, a, true, false, false, b, a);
  EXPECT_REFUSED(161002,
                 "argument self: got FLOAT16 [3, 3], but Ascend910B3 supports FLOAT, DOUBLE",
                 aclnnTriangularSolve, half, half, true, false, false, half, half);
}

}  // namespace
}  // namespace emulator_test
