// Operators that work on whole rows: the elements along a view's last dimension.
#pragma once

#include <span>
#include <vector>

#include "ops/elementwise.h"
#include "ops/rows.h"

namespace lotse::emulator {

// Calls f(T{}) with the type T that `arithmetic` names.
template <class F>
void in_type(Arithmetic arithmetic, const F& f) {
  switch (arithmetic) {
    case Arithmetic::float32:
      return f(float{});
    case Arithmetic::float64:
      return f(double{});
    case Arithmetic::int64:
      return f(int64_t{});
  }
}

// `count` rows from row `first` on, one after the other.
template <class T>
void load_rows(const View& view, int64_t first, int64_t count, T* values) {
  for (int64_t row = 0; row < count; ++row) {
    view.load_row(first + row, values + row * view.row_length());
  }
}
template <class T>
void store_rows(const View& view, int64_t first, int64_t count, const T* values) {
  for (int64_t row = 0; row < count; ++row) {
    view.store_row(first + row, values + row * view.row_length());
  }
}

// f(row, from, to) fills row `row` of `out`, `to`, from that of `in`, on several threads. The views
// have equally many rows and may be the same.
template <class T, class F>
void map_rows(const View& in, const View& out, const F& f) {
  if (out.count() == 0) return;
  parallel_for(out.rows(), row_grain(out.row_length()), [&](int64_t begin, int64_t end) {
    std::vector<T> from(static_cast<size_t>(in.row_length()));
    std::vector<T> to(static_cast<size_t>(out.row_length()));
    for (int64_t row = begin; row < end; ++row) {
      in.load_row(row, from.data());
      f(row, std::span<const T>(from), std::span<T>(to));
      out.store_row(row, to.data());
    }
  });
}

}  // namespace lotse::emulator
