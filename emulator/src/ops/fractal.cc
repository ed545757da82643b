#include "ops/fractal.h"

#include <algorithm>
#include <vector>

#include "ops/parallel.h"
#include "ops/rows.h"

namespace lotse::emulator {

Tensor fractal_memory(const Tensor& tensor, const Dims& storage) {
  TensorDesc flat = tensor.desc();
  flat.format = ACL_FORMAT_ND;
  flat.dims = {storage.product()};
  flat.strides = {1};
  return Tensor(tensor.argument() + " with its padding", flat);
}

void write_fractal(const View& memory, const Dims& storage, const Dims& matrix,
                   const std::function<void(int64_t row, float* values)>& load) {
  const int64_t rank = storage.size(), block = storage[rank - 1];
  const int64_t blocks = storage[rank - 4], padded_rows = storage[rank - 3] * storage[rank - 2];
  const int64_t rows = matrix[matrix.size() - 2], columns = matrix.back();
  if (storage.product() == 0) return;
  const int64_t batches = storage.product() / (blocks * padded_rows * block);
  parallel_for(batches * padded_rows, row_grain(columns), [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(blocks * block));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t batch = i / padded_rows, row = i % padded_rows;
      std::ranges::fill(values, 0.0f);
      if (row < rows) load(batch * rows + row, values.data());
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t at = ((batch * blocks + b) * padded_rows + row) * block;
        memory.store(memory.offset() + at, 1, block, values.data() + b * block);
      }
    }
  });
}

}  // namespace lotse::emulator
