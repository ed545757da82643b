// Matrices that an operator keeps on the host between its steps.
#pragma once

#include <vector>

#include "tensor/tensor.h"
#include "tensor/view.h"

namespace lotse::emulator {

// A row-major view of `values`, which must outlive it.
template <class T>
View host_matrix(std::vector<T>& values, aclDataType dtype, int64_t rows, int64_t columns) {
  TensorDesc desc;
  desc.dtype = dtype;
  desc.dims = {rows, columns};
  desc.strides = {columns, 1};
  return View(desc, reinterpret_cast<std::byte*>(values.data()));
}

}  // namespace lotse::emulator
