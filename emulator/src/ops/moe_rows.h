// Rows of tokens in the order of their experts.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "ops/index.h"
#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/rows.h"

namespace lotse::emulator {

// Positions in the order of their keys; equals keep their order.
inline std::vector<int64_t> sorted_by(const std::vector<int64_t>& keys) {
  std::vector<int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int64_t a, int64_t b) {
    return keys[at(a)] == keys[at(b)] ? a < b : keys[at(a)] < keys[at(b)];
  });
  return order;
}

inline void expect_within(const Tensor& tensor, const std::vector<int64_t>& values, int64_t least,
                          int64_t most) {
  for (const int64_t value : values) {
    if (value >= least && value <= most) continue;
    fail(kVectorFault, "argument {}: it holds {}, expected {} to {}", tensor.argument(), value,
         least, most);
  }
}

// to[i] = from[rows[i]] for i below the count of rows; -1 gives zeros.
inline void copy_rows(const View& from, const View& to, const std::vector<int64_t>& rows) {
  const int64_t length = from.row_length();
  parallel_for(std::ssize(rows), row_grain(length), [&](int64_t begin, int64_t end) {
    std::vector<float> values(at(length));
    for (int64_t i = begin; i < end; ++i) {
      if (rows[at(i)] < 0) {
        std::ranges::fill(values, 0.0f);
      } else {
        from.load_row(rows[at(i)], values.data());
      }
      to.store_row(i, values.data());
    }
  });
}

}  // namespace lotse::emulator
