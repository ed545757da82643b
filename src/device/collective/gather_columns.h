// From the order in which ranks' values arrive to that of a gathered matrix.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace lotse {

// `parts` holds [ranks, rows, columns]; `out` becomes [rows, ranks · columns].
inline void gather_columns(std::span<const float> parts, int64_t ranks, int64_t rows,
                           int64_t columns, float* out) {
  for (int64_t rank = 0; rank < ranks; ++rank) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = parts.data() + (rank * rows + row) * columns;
      std::copy_n(from, columns, out + (row * ranks + rank) * columns);
    }
  }
}

}  // namespace lotse
