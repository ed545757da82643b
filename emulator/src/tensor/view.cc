#include "tensor/view.h"

#include "tensor/tensor.h"

namespace lotse::emulator {

View::View(const TensorDesc& desc, std::byte* data)
    : dtype_(desc.dtype),
      dims_(desc.dims),
      strides_(desc.strides),
      offset_(desc.offset),
      data_(data) {
  if (!desc.is_fractal()) return;
  const int64_t rank = dims_.size();
  const int64_t blocks = desc.storage.size();
  fractal_columns_ = desc.storage[blocks - 1];
  fractal_rows_ = desc.storage[blocks - 3] * desc.storage[blocks - 2];
  fractal_transposed_ = strides_[rank - 2] == 1 && strides_[rank - 1] != 1;
  int64_t matrix = fractal_rows_ * fractal_columns_ * desc.storage[blocks - 4];
  for (int64_t i = rank - 3; i >= 0; --i) {
    strides_[i] = matrix;
    matrix *= dims_[i];
  }
}

View View::transposed(int64_t a, int64_t b) const {
  View view = *this;
  std::swap(view.dims_[a], view.dims_[b]);
  std::swap(view.strides_[a], view.strides_[b]);
  if (is_fractal()) view.fractal_transposed_ = !fractal_transposed_;
  return view;
}

View View::permuted(const Dims& order) const {
  View view = *this;
  for (int64_t i = 0; i < rank(); ++i) {
    view.dims_[i] = dims_[order[i]];
    view.strides_[i] = strides_[order[i]];
  }
  return view;
}

View View::moved_last(int64_t dim) const {
  if (rank() == 0) return *this;
  View view = *this;
  view.dims_.erase(dim);
  view.strides_.erase(dim);
  view.dims_.push_back(dims_[dim]);
  view.strides_.push_back(strides_[dim]);
  return view;
}

View View::slice(int64_t dim, int64_t start, int64_t size, int64_t step) const {
  View view = *this;
  view.offset_ += start * strides_[dim];
  view.dims_[dim] = size;
  view.strides_[dim] *= step;
  return view;
}

View View::select(int64_t dim, int64_t index) const {
  View view = *this;
  view.offset_ += index * strides_[dim];
  view.dims_.erase(dim);
  view.strides_.erase(dim);
  return view;
}

View View::unsqueezed(int64_t dim) const {
  View view = *this;
  view.dims_.insert(dim, 1);
  view.strides_.insert(dim, 0);
  return view;
}

View View::broadcast_to(const Dims& dims) const {
  View view = *this;
  while (view.rank() < dims.size()) view = view.unsqueezed(0);
  for (int64_t i = 0; i < dims.size(); ++i) {
    if (view.dims_[i] == 1 && dims[i] != 1) view.strides_[i] = 0;
    view.dims_[i] = dims[i];
  }
  return view;
}

View View::as_int4() const {
  View view = *this;
  view.dtype_ = ACL_INT4;
  view.offset_ *= 8;
  for (int64_t i = 0; i < rank(); ++i) view.strides_[i] *= 8;
  view.dims_[rank() - 1] *= 8;
  view.strides_[rank() - 1] = 1;
  if (is_fractal()) view.fractal_columns_ *= 8;
  return view;
}

bool View::columns_adjacent() const {
  if (is_fractal()) return fractal_transposed_;
  return strides_[rank() - 2] == 1 && strides_[rank() - 1] != 1;
}

int64_t View::count_rows() const {
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < rank(); ++i) rows *= dims_[i];
  return rows;
}

int64_t View::row_index(int64_t row) const {
  int64_t index = offset_;
  for (int64_t i = rank() - 2; i >= 0; --i) {
    index += row % dims_[i] * strides_[i];
    row /= dims_[i];
  }
  return index;
}

int64_t View::fractal_index(int64_t row, int64_t column) const {
  if (fractal_transposed_) std::swap(row, column);
  return (column / fractal_columns_ * fractal_rows_ + row) * fractal_columns_ +
         column % fractal_columns_;
}

template <class T>
void View::load_row(int64_t row, int64_t first, int64_t count, T* values) const {
  if (!is_fractal()) {
    const int64_t stride = rank() == 0 ? 1 : strides_.back();
    return load(row_index(row) + first * stride, stride, count, values);
  }
  const int64_t rows = dims_[rank() - 2];
  int64_t base = offset_;
  int64_t batch = row / rows;
  for (int64_t i = rank() - 3; i >= 0; --i) {
    base += batch % dims_[i] * strides_[i];
    batch /= dims_[i];
  }
  // Along a stored row, runs end with a column block; along a stored column, the stride is one
  // block's row.
  if (fractal_transposed_) {
    return load(base + fractal_index(row % rows, first), fractal_columns_, count, values);
  }
  while (count > 0) {
    const int64_t run = std::min(count, fractal_columns_ - first % fractal_columns_);
    load(base + fractal_index(row % rows, first), 1, run, values);
    first += run;
    values += run;
    count -= run;
  }
}

template <class T>
std::vector<T> read(const View& view) {
  std::vector<T> values(static_cast<size_t>(view.count()));
  if (values.empty()) return values;
  for (int64_t row = 0; row < view.rows(); ++row) {
    view.load_row(row, values.data() + row * view.row_length());
  }
  return values;
}

template <class T>
void write(const View& view, std::span<const T> values) {
  if (view.count() == 0) return;
  for (int64_t row = 0; row < view.rows(); ++row) {
    view.store_row(row, values.data() + row * view.row_length());
  }
}

Pieces::Pieces(std::span<const View> views) : view_count_(static_cast<int64_t>(views.size())) {
  const Dims& dims = views[0].dims();
  std::array<Dims, kMaxViews> strides;
  Dims merged;
  // Merge dimension i into the one before where every view steps evenly across both.
  for (int64_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    bool mergeable = !merged.empty();
    for (size_t v = 0; mergeable && v < views.size(); ++v) {
      mergeable = strides[v].back() == views[v].strides()[i] * dims[i];
    }
    if (!mergeable) {
      merged.push_back(dims[i]);
      for (size_t v = 0; v < views.size(); ++v) strides[v].push_back(views[v].strides()[i]);
      continue;
    }
    merged[merged.size() - 1] *= dims[i];
    for (size_t v = 0; v < views.size(); ++v) {
      strides[v][strides[v].size() - 1] = views[v].strides()[i];
    }
  }
  if (merged.empty()) {
    merged.push_back(dims.product());
    for (auto& list : strides) list.push_back(1);
  }
  const int64_t inner = merged.size() - 1;
  run_length_ = merged[inner];
  merged.erase(inner);
  outer_ = merged;
  for (size_t v = 0; v < views.size(); ++v) {
    offsets_[v] = views[v].offset();
    inner_strides_[v] = strides[v][inner];
    strides[v].erase(inner);
    outer_strides_[v] = strides[v];
  }
  pieces_per_run_ = (run_length_ + kPiece - 1) / kPiece;
  runs_ = outer_.product();
}

Pieces::Piece Pieces::at(int64_t piece) const {
  const int64_t first = piece % pieces_per_run_ * kPiece;
  int64_t run = piece / pieces_per_run_;
  Piece result;
  result.size = std::min(kPiece, run_length_ - first);
  for (size_t v = 0; v < static_cast<size_t>(view_count_); ++v) {
    result.index[v] = offsets_[v] + first * inner_strides_[v];
  }
  for (int64_t i = outer_.size() - 1; i >= 0; --i) {
    const int64_t position = run % outer_[i];
    run /= outer_[i];
    for (size_t v = 0; v < static_cast<size_t>(view_count_); ++v) {
      result.index[v] += position * outer_strides_[v][i];
    }
  }
  return result;
}

#define LOTSE_INSTANTIATE(T)                                         \
  template void View::load_row(int64_t, int64_t, int64_t, T*) const; \
  template std::vector<T> read(const View&);                         \
  template void write(const View&, std::span<const T>);
LOTSE_INSTANTIATE(float)
LOTSE_INSTANTIATE(double)
LOTSE_INSTANTIATE(int32_t)
LOTSE_INSTANTIATE(int64_t)
#undef LOTSE_INSTANTIATE

}  // namespace lotse::emulator
