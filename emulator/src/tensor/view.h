// A tensor's elements while an operator runs: a strided view with an address that can be read and
// written. Views are values; the functions that reshape one return another of the same memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/api.h"
#include "tensor/convert.h"
#include "tensor/dims.h"

namespace lotse::emulator {

struct TensorDesc;

class LOTSE_EMULATOR_API View {
 public:
  View() = default;
  // `data` is where desc.data can be read and written.
  View(const TensorDesc& desc, std::byte* data);

  aclDataType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  const Dims& strides() const { return strides_; }
  int64_t rank() const { return dims_.size(); }
  int64_t size(int64_t dim) const { return dims_[dim]; }
  int64_t count() const { return dims_.product(); }

  // Other views of the same elements. Dimensions are not negative here.
  View transposed(int64_t a, int64_t b) const;
  View permuted(const Dims& order) const;
  View moved_last(int64_t dim) const;
  View slice(int64_t dim, int64_t start, int64_t size, int64_t step = 1) const;
  View select(int64_t dim, int64_t index) const;  // drops `dim`
  View unsqueezed(int64_t dim) const;             // adds a dimension of 1
  View broadcast_to(const Dims& dims) const;      // the caller checked that it broadcasts
  View as_int4() const;  // INT32 that packs eight INT4: the last dimension grows eightfold

  // One run of elements, `index` and `stride` counted in elements of memory. T is float, double,
  // int32_t or int64_t, as in all that follows.
  template <class T>
  void load(int64_t index, int64_t stride, int64_t count, T* values) const {
    load_run(dtype_, data_, index, stride, count, values);
  }
  template <class T>
  void store(int64_t index, int64_t stride, int64_t count, const T* values) const {
    store_run(dtype_, data_, index, stride, count, values);
  }

  // Rows run along the last dimension; the others are counted row-major. Also for FRACTAL_NZ.
  int64_t rows() const { return rank() == 0 ? 1 : count_rows(); }
  int64_t row_length() const { return rank() == 0 ? 1 : dims_.back(); }
  template <class T>
  void load_row(int64_t row, T* values) const {
    load_row(row, 0, row_length(), values);
  }
  template <class T>
  void load_row(int64_t row, int64_t first, int64_t count, T* values) const;
  template <class T>
  void store_row(int64_t row, const T* values) const {
    store(row_index(row), rank() == 0 ? 1 : strides_.back(), row_length(), values);
  }
  // Memory index of a row's first element; not for FRACTAL_NZ.
  int64_t row_index(int64_t row) const;

  // Whether a matrix's columns, rather than its rows, lie together in memory.
  bool columns_adjacent() const;

  // First element in memory.
  int64_t offset() const { return offset_; }
  bool is_fractal() const { return fractal_columns_ != 0; }

 private:
  int64_t count_rows() const;
  int64_t fractal_index(int64_t row, int64_t column) const;

  aclDataType dtype_ = ACL_FLOAT;
  Dims dims_;
  Dims strides_;
  int64_t offset_ = 0;
  std::byte* data_ = nullptr;
  // FRACTAL_NZ: elements of a column block (0: strided), padded rows, and whether the view is the
  // stored matrix's transpose. Batch dimensions have ordinary strides.
  int64_t fractal_columns_ = 0;
  int64_t fractal_rows_ = 0;
  bool fractal_transposed_ = false;
};

// Every element, row-major.
template <class T>
LOTSE_EMULATOR_API std::vector<T> read(const View& view);
// Fills a view from row-major values, rounding to its data type.
template <class T>
LOTSE_EMULATOR_API void write(const View& view, std::span<const T> values);

// Walks views of equal dims together, in pieces of at most kPiece elements with one stride a view.
class LOTSE_EMULATOR_API Pieces {
 public:
  static constexpr int64_t kPiece = 2048;
  static constexpr int64_t kMaxViews = 4;

  explicit Pieces(std::span<const View> views);

  int64_t count() const { return runs_ * pieces_per_run_; }

  struct Piece {
    std::array<int64_t, kMaxViews> index{};  // memory index of the first element in each view
    int64_t size = 0;
  };
  Piece at(int64_t piece) const;
  int64_t stride(int64_t view) const { return inner_strides_[static_cast<size_t>(view)]; }

 private:
  Dims outer_;  // dims outside of the run, neighbours merged where every view allows
  std::array<Dims, kMaxViews> outer_strides_;
  std::array<int64_t, kMaxViews> inner_strides_{};
  std::array<int64_t, kMaxViews> offsets_{};
  int64_t view_count_ = 0;
  int64_t run_length_ = 1;
  int64_t runs_ = 1;
  int64_t pieces_per_run_ = 1;
};

}  // namespace lotse::emulator
