// Reductions over dimensions, and running sums along one.
#include "aclnnop/reduce.h"

#include <cmath>
#include <vector>

#include "ops/map_rows.h"

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

// A single result may be given as a tensor of no dimension or of one: callers do both on silicon.
void expect_reduced(Op& op, const Tensor& y, const Dims& kept) {
  if (kept.empty() && y.dims() == Dims{1}) return;
  op.expect_shape(y, kept);
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

// combine(… combine(start, first element) …, last element) for each kept position. Floats are
// combined in double and rounded once, so that the order does not show.
template <class T, class F>
std::vector<T> fold(const Arranged& in, T start, const F& combine) {
  if (in.inner == 1) {  // each position is an element
    std::vector<T> values = read<T>(in.view);
    for (T& value : values) value = combine(start, value);
    return values;
  }
  std::vector<T> results(static_cast<size_t>(in.outer), start);
  const int64_t length = in.view.row_length();
  const int64_t rows = in.inner == 0 || length == 0 ? 0 : in.inner / length;
  parallel_for(in.outer, row_grain(in.inner), [&](int64_t begin, int64_t end) {
    std::vector<T> row(static_cast<size_t>(length));
    for (int64_t o = begin; o < end; ++o) {
      T& result = results[static_cast<size_t>(o)];
      for (int64_t r = 0; r < rows; ++r) {
        in.view.load_row(o * rows + r, row.data());
        for (const T value : row) result = combine(result, value);
      }
    }
  });
  return results;
}

template <class T>
void sum(const Arranged& in, double divisor, const View& out) {
  std::vector<T> sums = fold<T>(in, T{}, [](T total, T value) { return total + value; });
  if constexpr (std::is_same_v<T, double>) {
    for (T& value : sums) value /= divisor;
  }
  write<T>(out, sums);
}

// (Σ |x|^p)^(1/p); with p infinite the largest, with p -infinite the smallest |x|; with p 0 the
// count of what is not 0.
std::vector<double> norms(const Arranged& in, double p) {
  if (std::isinf(p)) {
    return fold<double>(in, p > 0 ? 0 : INFINITY, [p](double best, double value) {
      const double size = std::abs(value);
      return size != size || (p > 0 ? size > best : size < best) ? size : best;
    });
  }
  if (p == 0) {
    return fold<double>(in, 0, [](double n, double value) { return n + (value != 0 ? 1 : 0); });
  }
  if (p == 1)
    return fold<double>(in, 0, [](double t, double value) { return t + std::abs(value); });
  if (p == 2) {
    auto roots = fold<double>(in, 0, [](double t, double value) { return t + value * value; });
    for (double& value : roots) value = std::sqrt(value);
    return roots;
  }
  auto roots =
      fold<double>(in, 0, [p](double t, double value) { return t + std::pow(std::abs(value), p); });
  for (double& value : roots) value = std::pow(value, 1 / p);
  return roots;
}

template <class T>
void cumulate(const View& from, const View& to) {
  map_rows<T>(from, to, [](int64_t, auto in, auto out) {
    T total{};
    for (size_t i = 0; i < in.size(); ++i) out[i] = total += in[i];
  });
}

enum class Kind { sum, mean };

void reduce(Op& op, Kind kind, const Tensor& x, const Tensor& y, const Reduction& reduction,
            aclDataType dtype) {
  op.expect_dtype(y, dtype);
  expect_reduced(op, y, reduction.kept);
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
ACLNN(aclnnNorm, const aclTensor* self, const aclScalar* pScalar, const aclIntArray* dim, bool keepdim, aclTensor* out) {
  const Tensor x = op.in("self", self, kFloating);
  const Tensor y = op.out("out", out, kFloating);
  const Reduction reduction = reduction_of(op, x, "dim", dim, keepdim);
  expect_reduced(op, y, reduction.kept);
  op.compute([=, p = op.scalar("pScalar", pScalar).as<double>()] {
    write<double>(y.view(), norms(arrange(x.view(), reduction.reduced), p));
  });
} ACLNN_END
ACLNN(aclnnCumsum, const aclTensor* self, int64_t dim, aclDataType dtype, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, kNumeric);
  op.expect_dtype(y, dtype);
  op.expect_shape(y, x.dims());
  const int64_t along = op.dim("dim", dim, x);
  const bool integers = !is_floating(x.dtype()) && !is_floating(y.dtype());
  op.compute([=] {
    const View from = x.view().moved_last(along), to = y.view().moved_last(along);
    if (integers) return cumulate<int64_t>(from, to);
    cumulate<double>(from, to);
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
