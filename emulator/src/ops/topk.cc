// aclnnTopk.
#include <algorithm>
#include <numeric>
#include <vector>

#include "aclnnop/indexing.h"
#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/topk.h"

namespace lotse::emulator {
namespace {

// Whether `a` comes before `b`: by value, NaN above all, then by index.
template <class T>
bool precedes(bool largest, const T* values, int64_t a, int64_t b) {
  const T x = values[a], y = values[b];
  const bool nan_x = x != x, nan_y = y != y;
  if (nan_x != nan_y) return nan_x == largest;
  if (!nan_x && x != y) return (x > y) == largest;
  return a < b;
}

template <class T>
void topk(const View& from, int64_t k, bool largest, const View& values, const View& indices) {
  if (k == 0 || from.count() == 0) return;
  const int64_t length = from.row_length();
  parallel_for(from.rows(), row_grain(length), [&](int64_t begin, int64_t end) {
    std::vector<T> row(static_cast<size_t>(length)), best(static_cast<size_t>(k));
    for (int64_t r = begin; r < end; ++r) {
      from.load_row(r, row.data());
      const std::vector<int64_t> order = top_indices(row.data(), length, k, largest);
      for (int64_t i = 0; i < k; ++i) {
        best[static_cast<size_t>(i)] = row[static_cast<size_t>(order[static_cast<size_t>(i)])];
      }
      values.store_row(r, best.data());
      indices.store_row(r, order.data());
    }
  });
}

}  // namespace

template <class T>
std::vector<int64_t> top_indices(const T* values, int64_t count, int64_t k, bool largest) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(),
                    [=](int64_t a, int64_t b) { return precedes(largest, values, a, b); });
  order.resize(static_cast<size_t>(k));
  return order;
}

template std::vector<int64_t> top_indices(const float*, int64_t, int64_t, bool);
template std::vector<int64_t> top_indices(const double*, int64_t, int64_t, bool);
template std::vector<int64_t> top_indices(const int64_t*, int64_t, int64_t, bool);

// clang-format off
ACLNN(aclnnTopk, const aclTensor* self, int64_t k, int64_t dim, bool largest, bool, aclTensor* valuesOut, aclTensor* indicesOut) {
  const Tensor x = op.in("self", self, kNumeric);
  const Tensor values = op.out("valuesOut", valuesOut, kNumeric), indices = op.out("indicesOut", indicesOut, {ACL_INT64});
  op.expect_rank(x, 1, kMaxRank);
  const int64_t along = op.dim("dim", dim, x);
  op.require(k >= 0 && k <= x.size(along), "argument k: got {}, but dimension {} of self {} has {} elements",
             k, along, x.desc().text(), x.size(along));
  Dims dims = x.dims();
  dims[along] = k;
  op.expect_shape(values, dims);
  op.expect_shape(indices, dims);
  op.expect_dtype(values, x.dtype());
  op.cost().vector_ops = 8 * static_cast<double>(x.count());
  op.compute([=] {
    const View from = x.view().moved_last(along);
    const View to = values.view().moved_last(along), at = indices.view().moved_last(along);
    if (x.dtype() == ACL_DOUBLE) return topk<double>(from, k, largest, to, at);
    if (is_floating(x.dtype())) return topk<float>(from, k, largest, to, at);
    topk<int64_t>(from, k, largest, to, at);
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
