// Matrix products over views: any strides, data types and FRACTAL_NZ, summed in order of k, so that
// a result depends on neither threads nor instruction set.
#pragma once

#include <cstdint>
#include <functional>

#include "tensor/view.h"

namespace lotse::emulator {

// What happens to inputs first: nothing, rounding to FLOAT16, or to HF32 (10 bits of mantissa).
enum class InputRounding { none, half, hf32 };

// Receives `count` results of row `row` from column `column` on, which it may change and stores.
template <class T>
using Epilogue = std::function<void(int64_t row, int64_t column, int64_t count, T* values)>;

// Changes a panel of `b` before its use: `depth` rows from row `row` on of `width` columns from
// column `column` on, `stride` elements apart.
using PanelTransform = std::function<void(int64_t row, int64_t depth, int64_t column, int64_t width,
                                          float* panel, int64_t stride)>;

// a [m, k] × b [k, n] with accumulation in T: float, or int32_t (exact, wrapping). Runs on several
// threads, so the epilogue is called concurrently, once for every result. `transform` is for T
// float.
template <class T>
void multiply(const View& a, const View& b, InputRounding rounding, const Epilogue<T>& epilogue,
              const PanelTransform& transform = {});

// results [rows][kPanelColumns] += a [rows, depth], `a_stride` between rows, × panel
// [depth][kPanelColumns], in order of depth.
inline constexpr int64_t kPanelColumns = 64;
void accumulate_panel(const float* a, int64_t a_stride, int64_t rows, const float* panel,
                      int64_t depth, float* results);

}  // namespace lotse::emulator
