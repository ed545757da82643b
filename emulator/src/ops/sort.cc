// Order along a dimension. NaN counts as the largest number; of equals the first comes first.
#include "aclnnop/sort.h"

#include <cmath>
#include <vector>

#include "ops/map_rows.h"
#include "ops/topk.h"

namespace lotse::emulator {
namespace {

enum class Extreme { largest, smallest };

// NaN wins over everything but an earlier NaN.
template <class T>
bool beats(Extreme extreme, T challenger, T holder) {
  if (holder != holder) return false;
  if (challenger != challenger) return true;
  return extreme == Extreme::largest ? challenger > holder : challenger < holder;
}

template <class T>
int64_t position_of(Extreme extreme, std::span<const T> row) {
  size_t best = 0;
  for (size_t i = 1; i < row.size(); ++i) {
    if (beats(extreme, row[i], row[best])) best = i;
  }
  return static_cast<int64_t>(best);
}

// A view with a last dimension of 1 in place of the reduced one, whether that was kept or dropped.
View column_of(const View& view, int64_t dim, bool kept) {
  const View dropped = kept && view.rank() > 0 ? view.select(dim, 0) : view;
  return dropped.unsqueezed(dropped.rank());
}

// Where the extremes along `dim` are, and what they are; either may be absent.
void extremes(Op& op, Extreme extreme, const Tensor& x, int64_t dim, bool keepdim,
              const Tensor& values, const Tensor& indices) {
  const int64_t along = op.dim("dim", dim, x);
  op.require(x.rank() == 0 || x.size(along) > 0, "{}, which has no element along {}", x.text(),
             along);
  Dims reduced = x.dims();
  if (x.rank() > 0) {
    reduced.erase(along);
    if (keepdim) reduced.insert(along, 1);
  }
  for (const Tensor& y : {values, indices}) {
    if (y.present()) op.expect_shape(y, reduced);
  }
  op.compute([=] {
    if (x.count() == 0) return;
    const View from = x.rank() == 0 ? x.view().unsqueezed(0) : x.view().moved_last(along);
    const View best = values.present() ? column_of(values.view(), along, keepdim) : View();
    const View at = indices.present() ? column_of(indices.view(), along, keepdim) : View();
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      using T = decltype(zero);
      parallel_for(from.rows(), row_grain(from.row_length()), [&](int64_t begin, int64_t end) {
        std::vector<T> row(static_cast<size_t>(from.row_length()));
        for (int64_t r = begin; r < end; ++r) {
          from.load_row(r, row.data());
          const int64_t position = position_of<T>(extreme, row);
          if (values.present()) best.store_row(r, &row[static_cast<size_t>(position)]);
          if (indices.present()) at.store_row(r, &position);
        }
      });
    });
  });
}

// Sorted along `dim`; `values` may be absent.
void sort(Op& op, const Tensor& x, int64_t dim, bool descending, const Tensor& values,
          const Tensor& indices) {
  const int64_t along = op.dim("dim", dim, x);
  for (const Tensor& y : {values, indices}) {
    if (y.present()) op.expect_shape(y, x.dims());
  }
  const double length = x.rank() == 0 ? 1 : static_cast<double>(x.size(along));
  op.cost().vector_ops = static_cast<double>(x.count()) * std::log2(length + 2);
  op.compute([=] {
    if (x.count() == 0) return;
    const View from = x.view().moved_last(along), at = indices.view().moved_last(along);
    const View sorted = values.present() ? values.view().moved_last(along) : View();
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      using T = decltype(zero);
      const int64_t size = from.row_length();
      parallel_for(from.rows(), row_grain(4 * size), [&](int64_t begin, int64_t end) {
        std::vector<T> row(static_cast<size_t>(size)), ordered(row.size());
        for (int64_t r = begin; r < end; ++r) {
          from.load_row(r, row.data());
          const auto order = top_indices(row.data(), size, size, descending);
          at.store_row(r, order.data());
          if (!values.present()) continue;
          for (size_t i = 0; i < row.size(); ++i) ordered[i] = row[static_cast<size_t>(order[i])];
          sorted.store_row(r, ordered.data());
        }
      });
    });
  });
}

}  // namespace

// clang-format off
ACLNN(aclnnArgMax, const aclTensor* self, int64_t dim, bool keepdim, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  extremes(op, Extreme::largest, x, dim, keepdim, Tensor(), op.out("out", out, kIndex));
} ACLNN_END
ACLNN(aclnnArgMin, const aclTensor* self, int64_t dim, bool keepdim, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  extremes(op, Extreme::smallest, x, dim, keepdim, Tensor(), op.out("out", out, kIndex));
} ACLNN_END
ACLNN(aclnnMaxDim, const aclTensor* self, int64_t dim, bool keepdim, aclTensor* out, aclTensor* indices) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, {x.dtype()});
  extremes(op, Extreme::largest, x, dim, keepdim, y, op.out("indices", indices, kIndex));
} ACLNN_END
ACLNN(aclnnMax, const aclTensor* self, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, {x.dtype()});
  op.expect_shape(y, {});
  op.require(x.count() > 0, "{}, which has no elements", x.text());
  op.compute([=] {
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      using T = decltype(zero);
      const std::vector<T> values = read<T>(x.view());
      y.view().store_row(0, &values[static_cast<size_t>(position_of<T>(Extreme::largest, values))]);
    });
  });
} ACLNN_END
ACLNN(aclnnArgsort, const aclTensor* self, int64_t dim, bool descending, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  sort(op, x, dim, descending, Tensor(), op.out("out", out, {ACL_INT64}));
} ACLNN_END
// Stable whether asked for or not.
ACLNN(aclnnSort, const aclTensor* self, bool, int64_t dim, bool descending, aclTensor* valuesOut, aclTensor* indicesOut) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor values = op.out("valuesOut", valuesOut, {x.dtype()});
  sort(op, x, dim, descending, values, op.out("indicesOut", indicesOut, {ACL_INT64}));
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
