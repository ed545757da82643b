// Tensors whose storage the other helpers cannot make: INT4, packed or not, and FRACTAL_NZ.
#pragma once

#include <cstdint>
#include <vector>

#include "support.h"

namespace emulator_test {

// INT4 numbers in the order of memory, two a byte, the first in the low half. `dims` are those of
// the tensor: of INT4, or of INT32 that packs eight.
class Int4 {
 public:
  Int4(const std::vector<int>& values, aclDataType dtype, const Shape& dims,
       const Shape& strides = {}, const Shape& fractal_storage = {});
  ~Int4() { aclDestroyTensor(tensor); }
  Int4(const Int4&) = delete;
  Int4& operator=(const Int4&) = delete;

  // In the order of memory.
  std::vector<double> fetch() const;

  aclTensor* tensor = nullptr;

 private:
  size_t count_;
  Memory memory_;
};

// A rows × columns matrix in FRACTAL_NZ: blocks of `block` columns, each of rows padded to 16.
template <class T>
std::vector<T> fractal_storage(const std::vector<T>& matrix, int64_t rows, int64_t columns,
                               int64_t block) {
  const int64_t padded = (rows + 15) / 16 * 16;
  std::vector<T> storage(static_cast<size_t>((columns + block - 1) / block * padded * block));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      storage[static_cast<size_t>((c / block * padded + r) * block + c % block)] =
          matrix[static_cast<size_t>(r * columns + c)];
    }
  }
  return storage;
}

}  // namespace emulator_test
