// Writing FRACTAL_NZ; reading it is a view's business.
#pragma once

#include <functional>

#include "ops/op.h"

namespace lotse::emulator {

// A tensor of that storage, padding included, as one run of elements.
Tensor fractal_memory(const Tensor& tensor, const Dims& storage);

// Fills `memory` of that storage with `rows` rows, all batches together, of `matrix`; padding is
// zero. load(row, values) gives one row; it is called on several threads.
void write_fractal(const View& memory, const Dims& storage, const Dims& matrix,
                   const std::function<void(int64_t row, float* values)>& load);

}  // namespace lotse::emulator
