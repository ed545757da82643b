// Matrices in FRACTAL_NZ: blocks of 32 bytes of columns, within each all rows, padded to 16.
#pragma once

#include <functional>

#include "device/ascend/queue.h"

namespace lotse::ascend {

// A matrix [rows, columns] of memory with this storage shape; `transposed` swaps its dimensions.
View fractal_view(const Buffer& buffer, AclType type, int64_t rows, int64_t columns,
                  const std::vector<int64_t>& storage, bool transposed = false);

// A matrix in that format, and the shape of its storage.
struct Fractal {
  Buffer data;
  std::vector<int64_t> storage;
};

// A copy of a row-major matrix; waits until it is made.
Result<Fractal> cast_to_fractal(Queue& queue, const View& matrix);

// INT4 [columns, rows] from `fill(first, count, values)`, which gives [columns, count] numbers for
// rows from `first` on; both sizes are multiples of 64. Takes a bounded number of rows at a time.
Result<Fractal> pack_int4_fractal(
    Queue& queue, int64_t rows, int64_t columns,
    const std::function<void(int64_t first, int64_t count, std::span<int32_t> values)>& fill);

}  // namespace lotse::ascend
