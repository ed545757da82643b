// Reductions over dimensions.
#include <vector>

#include "aclnnop/reduce.h"
#include "ops/op.h"
#include "ops/parallel.h"

namespace lotse::emulator {
namespace {

// Which dimensions are reduced, and the shape that is left.
struct Reduction {
  std::vector<bool> reduced;
  Dims kept;
};

// No dimensions named means all.
Reduction reduction_of(Op& op, const Tensor& x, const char* argument, const aclIntArray* dims,
                       bool keep) {
  Reduction result{std::vector<bool>(static_cast<size_t>(x.rank()), false), {}};
  const auto named = op.ints(argument, dims);
  for (const int64_t dim : named) {
    const int64_t index = op.dim(argument, dim, x);
    if (x.rank() == 0) continue;
    op.require(!result.reduced[static_cast<size_t>(index)], "argument {}: {} is named twice",
               argument, dim);
    result.reduced[static_cast<size_t>(index)] = true;
  }
  if (named.empty()) result.reduced.assign(result.reduced.size(), true);
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (!result.reduced[static_cast<size_t>(i)]) {
      result.kept.push_back(x.size(i));
    } else if (keep) {
      result.kept.push_back(1);
    }
  }
  return result;
}

// Views of [kept…, reduced…]: rows of the reduced dimensions are summed for each kept position.
struct Arranged {
  View view;
  int64_t outer;  // kept positions
  int64_t inner;  // elements summed for each
};

Arranged arrange(const View& view, const std::vector<bool>& reduced) {
  Dims order;
  int64_t outer = 1, inner = 1;
  for (int64_t i = 0; i < view.rank(); ++i) {
    if (reduced[static_cast<size_t>(i)]) continue;
    order.push_back(i);
    outer *= view.size(i);
  }
  for (int64_t i = 0; i < view.rank(); ++i) {
    if (!reduced[static_cast<size_t>(i)]) continue;
    order.push_back(i);
    inner *= view.size(i);
  }
  return {view.permuted(order), outer, inner};
}

// Floats are summed in double and rounded once, so that the order does not show.
template <class T>
void sum(const Arranged& in, double divisor, const View& out) {
  std::vector<T> sums(static_cast<size_t>(in.outer), T{});
  const int64_t length = in.inner == 1 ? 1 : in.view.row_length();
  const int64_t rows = in.inner == 0 || length == 0 ? 0 : in.inner / length;
  const bool scattered = in.inner == 1;  // nothing to sum: each position is an element
  if (scattered) {
    sums = read<T>(in.view);
  } else {
    parallel_for(in.outer, 1 + 16384 / std::max<int64_t>(in.inner, 1),
                 [&](int64_t begin, int64_t end) {
                   std::vector<T> row(static_cast<size_t>(length));
                   for (int64_t o = begin; o < end; ++o) {
                     T total{};
                     for (int64_t r = 0; r < rows; ++r) {
                       in.view.load_row(o * rows + r, row.data());
                       for (const T value : row) total += value;
                     }
                     sums[static_cast<size_t>(o)] = total;
                   }
                 });
  }
  if constexpr (std::is_same_v<T, double>) {
    for (T& value : sums) value /= divisor;
  }
  write<T>(out, sums);
}

enum class Kind { sum, mean };

void reduce(Op& op, Kind kind, const Tensor& x, const Tensor& y, const Reduction& reduction,
            aclDataType dtype) {
  op.expect_dtype(y, dtype);
  op.expect_shape(y, reduction.kept);
  const bool integers = !is_floating(x.dtype()) && !is_floating(y.dtype());
  op.compute([=, reduced = reduction.reduced] {
    const Arranged in = arrange(x.view(), reduced);
    const double divisor = kind == Kind::mean ? static_cast<double>(in.inner) : 1;
    if (integers) return sum<int64_t>(in, divisor, y.view());
    sum<double>(in, divisor, y.view());
  });
}

}  // namespace

// clang-format off
ACLNN(aclnnReduceSum, const aclTensor* self, const aclIntArray* dims, bool keepDims, aclDataType dtype, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, kNumeric);
  reduce(op, Kind::sum, x, y, reduction_of(op, x, "dims", dims, keepDims), dtype);
} ACLNN_END
ACLNN(aclnnMean, const aclTensor* self, const aclIntArray* dim, bool keepDim, aclDataType dtype, aclTensor* out) {
  const Tensor x = op.in("self", self, kFloating);
  const Tensor y = op.out("out", out, kFloating);
  reduce(op, Kind::mean, x, y, reduction_of(op, x, "dim", dim, keepDim), dtype);
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
