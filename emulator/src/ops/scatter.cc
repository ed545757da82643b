// Elements read or written at positions that a tensor names. A position outside is a fault.
#include "aclnnop/scatter.h"

#include <vector>

#include "ops/copy.h"
#include "ops/map_rows.h"

namespace lotse::emulator {
namespace {

enum Reduce : int64_t { replace = 0, add = 1, multiply = 2 };

// The part of `view` that has the dims of `dims`, all of it along `whole`; -1 for none.
View part(View view, const Dims& dims, int64_t whole) {
  for (int64_t i = 0; i < dims.size(); ++i) {
    if (i != whole) view = view.slice(i, 0, dims[i]);
  }
  return view;
}

// index: as many dimensions as `other`, and outside of `dim` no larger.
void expect_within(const Op& op, const Tensor& index, const Tensor& other, int64_t dim) {
  op.require(index.rank() == other.rank(), "{}, but {} {} has {} dimensions", index.text(),
             other.argument(), other.desc().text(), other.rank());
  for (int64_t i = 0; i < index.rank(); ++i) {
    op.require(i == dim || index.size(i) <= other.size(i),
               "{}, which is larger than {} {} in dimension {}", index.text(), other.argument(),
               other.desc().text(), i);
  }
}

size_t checked(const Tensor& index, int64_t position, int64_t size, const Tensor& of) {
  if (position < 0 || position >= size) {
    fail(kVectorFault, "argument {}: position {} is outside of {} {}", index.argument(), position,
         of.argument(), of.desc().text());
  }
  return static_cast<size_t>(position);
}

template <class T>
T combined(int64_t reduce, T old, T value) {
  return reduce == add ? old + value : reduce == multiply ? old * value : value;
}

// into[index[i]] = source[i] along `dim`, combined with what is there.
template <class T>
void scatter_rows(const Tensor& index, const Tensor& source, const Tensor& into, int64_t dim,
                  int64_t reduce) {
  const View positions = index.view().moved_last(dim);
  const View values = part(source.view(), index.dims(), -1).moved_last(dim);
  const View target = part(into.view(), index.dims(), dim).moved_last(dim);
  const int64_t size = target.row_length(), count = positions.row_length();
  parallel_for(positions.rows(), row_grain(size), [&](int64_t begin, int64_t end) {
    std::vector<T> row(static_cast<size_t>(size)), from(static_cast<size_t>(count));
    std::vector<int64_t> at(static_cast<size_t>(count));
    for (int64_t r = begin; r < end; ++r) {
      target.load_row(r, row.data());
      values.load_row(r, from.data());
      positions.load_row(r, at.data());
      for (size_t i = 0; i < at.size(); ++i) {
        T& element = row[checked(index, at[i], size, into)];
        element = combined(reduce, element, from[i]);
      }
      target.store_row(r, row.data());
    }
  });
}

// `self` is copied to `into` first, unless it is the same.
void scatter(Op& op, const Tensor& self, const Tensor& into, int64_t dim, const aclTensor* index,
             const aclTensor* src, int64_t reduce) {
  const Tensor at = op.in("index", index, kIndex);
  const Tensor source = op.in("src", src, {into.dtype()});
  const int64_t along = op.dim("dim", dim, into);
  expect_within(op, at, into, along);
  expect_within(op, at, source, -1);
  op.require(reduce >= replace && reduce <= multiply,
             "argument reduce: got {}, expected 0 (replace), 1 (add) or 2 (multiply)", reduce);
  op.compute([=] {
    if (self.present()) copy_elements(self.view(), into.view());
    if (at.count() == 0) return;
    in_type(arithmetic_of({into.dtype()}),
            [&](auto zero) { scatter_rows<decltype(zero)>(at, source, into, along, reduce); });
  });
}

// Which batch an update goes to, and where it starts along the axis.
struct Place {
  int64_t batch, start;
};
std::vector<Place> places(const Tensor& indices, const Tensor& data, const Tensor& updates,
                          int64_t axis) {
  const std::vector<int64_t> numbers = read<int64_t>(indices.view());
  const bool pairs = indices.rank() == 2;
  std::vector<Place> result;
  for (int64_t i = 0; i < updates.size(0); ++i) {
    const Place place =
        pairs ? Place{numbers[static_cast<size_t>(2 * i)], numbers[static_cast<size_t>(2 * i + 1)]}
              : Place{i, numbers[static_cast<size_t>(i)]};
    checked(indices, place.batch, data.size(0), data);
    checked(indices, place.start, data.size(axis) - updates.size(axis) + 1, data);
    result.push_back(place);
  }
  return result;
}

// Positions of what is not zero, row-major, one a row of `out`; how many there are.
template <class T>
int64_t write_nonzero(const View& from, const Tensor& out) {
  const std::vector<T> values = read<T>(from);
  const View to = out.view();
  int64_t count = 0;
  std::vector<int64_t> position(static_cast<size_t>(from.rank()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == T{}) continue;
    if (count == out.size(0)) {
      fail(kVectorFault, "{}, but more than {} elements are not zero", out.text(), count);
    }
    auto rest = static_cast<int64_t>(i);
    for (int64_t d = from.rank() - 1; d >= 0; --d) {
      position[static_cast<size_t>(d)] = rest % from.size(d);
      rest /= from.size(d);
    }
    if (!position.empty()) to.store_row(count, position.data());
    ++count;
  }
  return count;
}

}  // namespace

// clang-format off
ACLNN(aclnnGather, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor at = op.in("index", index, kIndex);
  const Tensor y = op.out("out", out, {x.dtype()});
  const int64_t along = op.dim("dim", dim, x);
  expect_within(op, at, x, along);
  op.expect_shape(y, at.dims());
  op.cost().bytes = static_cast<double>(bytes_of(at.dtype(), at.count()) + 2 * bytes_of(y.dtype(), y.count()));
  op.cost().vector_ops = static_cast<double>(y.count());
  op.compute([=] {
    if (y.count() == 0) return;
    const View from = part(x.view(), at.dims(), along).moved_last(along);
    const View positions = at.view().moved_last(along), to = y.view().moved_last(along);
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      map_rows<decltype(zero)>(from, to, [&](int64_t row, auto in, auto picked) {
        std::vector<int64_t> indices(picked.size());
        positions.load_row(row, indices.data());
        for (size_t i = 0; i < picked.size(); ++i) picked[i] = in[checked(at, indices[i], std::ssize(in), x)];
      });
    });
  });
} ACLNN_END

ACLNN(aclnnScatter, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* src, int64_t reduce, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, {x.dtype()});
  op.expect_shape(y, x.dims());
  scatter(op, x, y, dim, index, src, reduce);
} ACLNN_END
ACLNN(aclnnInplaceScatter, aclTensor* selfRef, int64_t dim, const aclTensor* index, const aclTensor* src, int64_t reduce) {
  scatter(op, Tensor(), op.in_out("selfRef", selfRef, kNumeric | kBool), dim, index, src, reduce);
} ACLNN_END

// Batch i of `updates` is written to data at indices[i] along `axis`; with pairs of indices, the
// first of each names the batch.
ACLNN(aclnnInplaceScatterUpdate, aclTensor* data, const aclTensor* indices, const aclTensor* updates, int64_t axis) {
  const Tensor x = op.in_out("data", data, kAnyDtype);
  const Tensor at = op.in("indices", indices, kIndex);
  const Tensor source = op.in("updates", updates, {x.dtype()});
  op.expect_rank(x, 2, kMaxRank);
  op.expect_rank(at, 1, 2);
  const int64_t along = op.dim("axis", axis, x);
  op.require(along > 0, "argument axis: got {}, but dimension 0 holds the batches", axis);
  op.require(source.rank() == x.rank() && source.size(along) <= x.size(along),
             "{}, which does not fit into data {} along {}", source.text(), x.desc().text(), along);
  for (int64_t i = 1; i < x.rank(); ++i) {
    op.require(i == along || source.size(i) == x.size(i), "{}, but data is {}", source.text(), x.desc().text());
  }
  op.expect_shape(at, at.rank() == 1 ? Dims{source.size(0)} : Dims{source.size(0), 2});
  op.cost().bytes = 2 * static_cast<double>(bytes_of(source.dtype(), source.count()));
  op.cost().vector_ops = static_cast<double>(source.count());
  op.compute([=] {
    const auto targets = places(at, x, source, along);
    for (size_t i = 0; i < targets.size(); ++i) {
      const View into = x.view().slice(along, targets[i].start, source.size(along)).select(0, targets[i].batch);
      copy_elements(source.view().select(0, static_cast<int64_t>(i)), into);
    }
  });
} ACLNN_END

// `out` has a row for every element that may be non-zero; aclGetViewShape tells how many there were.
ACLNN(aclnnNonzero, const aclTensor* self, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool);
  const Tensor y = op.out("out", out, {ACL_INT64});
  op.expect_rank(y, 2, 2);
  op.require(y.size(1) == x.rank(), "{}, expected {} columns, one a dimension of self", y.text(), x.rank());
  const auto rows = std::make_shared<std::atomic<int64_t>>(y.size(0));
  out->rows = rows;
  op.compute([=] {
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      *rows = write_nonzero<decltype(zero)>(x.view(), y);
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
