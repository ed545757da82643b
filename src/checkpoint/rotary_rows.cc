#include "checkpoint/rotary_rows.h"

#include <algorithm>

#include "checkpoint/tensor_table.h"

namespace lotse {

Result<Tensor> restore_rotary_rows(const Tensor& stored, int64_t heads) {
  OwnedTensor restored = allocate_tensor(stored.dtype, stored.shape);
  if (stored.bytes.empty()) return std::move(restored.tensor);  // however many rows of no columns
  const auto head_rows = static_cast<size_t>(stored.shape[0] / heads);
  const size_t half = head_rows / 2;
  const size_t row_bytes = stored.bytes.size() / (head_rows * static_cast<size_t>(heads));
  for (size_t first = 0; first < head_rows * static_cast<size_t>(heads); first += head_rows) {
    for (size_t row = 0; row < head_rows; ++row) {
      const size_t source = first + 2 * (row % half) + row / half;
      std::ranges::copy(stored.bytes.subspan(source * row_bytes, row_bytes),
                        restored.bytes.subspan((first + row) * row_bytes).begin());
    }
  }
  return std::move(restored.tensor);
}

}  // namespace lotse
