#include "ops/matmul_kernel.h"

#include <bit>
#include <type_traits>
#include <vector>

#include "ops/parallel.h"
#include "runtime/clones.h"
#include "tensor/convert.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kColumns = kPanelColumns;
constexpr int64_t kDepth = 512;   // of one panel
constexpr int64_t kTileRows = 4;  // of the accumulators
constexpr int64_t kTileColumns = 16;

void round_inputs(InputRounding rounding, float* values, int64_t count) {
  if (rounding == InputRounding::hf32) {
    for (int64_t i = 0; i < count; ++i) {
      const auto bits = std::bit_cast<uint32_t>(values[i]);
      const uint32_t rounded = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
      const bool special = (bits & 0x7f800000u) == 0x7f800000u;
      values[i] = std::bit_cast<float>(special ? bits : rounded);
    }
  } else if (rounding == InputRounding::half) {
    round_run(ACL_FLOAT16, count, values);
  }
}

void round_inputs(InputRounding, int32_t*, int64_t) {}

// Results [rows][kColumns] += a [rows] of `a_stride` × panel [depth][kColumns].
template <class T>
inline __attribute__((always_inline)) void accumulate(const T* a, int64_t a_stride, int64_t rows,
                                                      const T* panel, int64_t depth, T* results) {
  for (int64_t row = 0; row < rows; row += kTileRows) {
    const int64_t height = rows - row < kTileRows ? rows - row : kTileRows;
    for (int64_t column = 0; column < kColumns; column += kTileColumns) {
      T sums[kTileRows][kTileColumns];
      T* const tile = results + row * kColumns + column;
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t c = 0; c < kTileColumns; ++c) sums[r][c] = tile[r * kColumns + c];
      }
      const T* b = panel + column;
      if (height == kTileRows) {
        for (int64_t i = 0; i < depth; ++i, b += kColumns) {
          for (int64_t r = 0; r < kTileRows; ++r) {
            const T factor = a[(row + r) * a_stride + i];
            for (int64_t c = 0; c < kTileColumns; ++c) sums[r][c] += factor * b[c];
          }
        }
      } else {
        for (int64_t r = 0; r < height; ++r) {
          for (int64_t i = 0; i < depth; ++i) {
            const T factor = a[(row + r) * a_stride + i];
            for (int64_t c = 0; c < kTileColumns; ++c) sums[r][c] += factor * b[i * kColumns + c];
          }
        }
      }
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t c = 0; c < kTileColumns; ++c) tile[r * kColumns + c] = sums[r][c];
      }
    }
  }
}

LOTSE_CLONES void accumulate_int32(const int32_t* a, int64_t a_stride, int64_t rows,
                                   const int32_t* panel, int64_t depth, int32_t* results) {
  accumulate(a, a_stride, rows, panel, depth, results);
}

// panel[i][c] = b(first + i, column + c); what lies beyond `width` columns stays as it is.
template <class T>
void pack_rows(const View& b, int64_t first, int64_t depth, int64_t column, int64_t width,
               T* panel) {
  for (int64_t i = 0; i < depth; ++i) {
    b.load_row(first + i, column, width, panel + i * kColumns);
  }
}

// As pack_rows, by the rows of the transpose: for a `b` whose columns lie together in memory.
template <class T>
void pack_columns(const View& transpose, int64_t first, int64_t depth, int64_t column,
                  int64_t width, T* panel) {
  constexpr int64_t kStrip = 16;
  T strip[kStrip][kDepth];
  for (int64_t c = 0; c < width; c += kStrip) {
    const int64_t wide = width - c < kStrip ? width - c : kStrip;
    for (int64_t j = 0; j < wide; ++j) transpose.load_row(column + c + j, first, depth, strip[j]);
    for (int64_t i = 0; i < depth; ++i) {
      for (int64_t j = 0; j < wide; ++j) panel[i * kColumns + c + j] = strip[j][i];
    }
  }
}

template <class T>
struct Product {
  const View& b;
  const View transpose;
  const bool by_columns;
  const InputRounding rounding;
  const std::vector<T>& a;
  const int64_t m, n, k;
  const Epilogue<T>& epilogue;
  const PanelTransform& transform;

  void columns(int64_t column) const {
    const int64_t width = n - column < kColumns ? n - column : kColumns;
    std::vector<T> panel(kDepth * kColumns);
    std::vector<T> results(static_cast<size_t>(m * kColumns));
    for (int64_t first = 0; first < k; first += kDepth) {
      const int64_t depth = k - first < kDepth ? k - first : kDepth;
      if (by_columns) {
        pack_columns(transpose, first, depth, column, width, panel.data());
      } else {
        pack_rows(b, first, depth, column, width, panel.data());
      }
      if constexpr (std::is_same_v<T, float>) {
        if (transform) transform(first, depth, column, width, panel.data(), kColumns);
      }
      round_inputs(rounding, panel.data(), depth * kColumns);
      if constexpr (std::is_same_v<T, float>) {
        accumulate_panel(a.data() + first, k, m, panel.data(), depth, results.data());
      } else {
        accumulate_int32(a.data() + first, k, m, panel.data(), depth, results.data());
      }
    }
    for (int64_t row = 0; row < m; ++row) {
      epilogue(row, column, width, results.data() + row * kColumns);
    }
  }
};

}  // namespace

LOTSE_CLONES void accumulate_panel(const float* a, int64_t a_stride, int64_t rows,
                                   const float* panel, int64_t depth, float* results) {
  accumulate(a, a_stride, rows, panel, depth, results);
}

template <class T>
void multiply(const View& a, const View& b, InputRounding rounding, const Epilogue<T>& epilogue,
              const PanelTransform& transform) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  if (m == 0 || n == 0) return;
  std::vector<T> dense = read<T>(a);
  round_inputs(rounding, dense.data(), static_cast<int64_t>(dense.size()));
  const View transpose = b.transposed(0, 1);
  const bool by_columns = b.columns_adjacent();
  const Product<T> product{b, transpose, by_columns, rounding, dense, m, n, k, epilogue, transform};
  const int64_t panels = (n + kColumns - 1) / kColumns;
  // Below about 2^18 multiplications a thread costs more than it saves.
  const int64_t grain = 1 + (int64_t{1} << 18) / (m * k * kColumns + 1);
  parallel_for(panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) product.columns(panel * kColumns);
  });
}

template void multiply(const View&, const View&, InputRounding, const Epilogue<float>&,
                       const PanelTransform&);
template void multiply(const View&, const View&, InputRounding, const Epilogue<int32_t>&,
                       const PanelTransform&);

}  // namespace lotse::emulator
