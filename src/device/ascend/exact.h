// Exact mode: activations in FP32 whatever the weights are, and every linear the arithmetic of
// docs/numerics.md, composed of basic operators. Slow; what departs from the CPU device in it is a
// mistake and no rounding.
#pragma once

#include "chip/profile.h"
#include "device/ascend/linear.h"

namespace lotse::ascend {

// Whether LOTSE_ASCEND_ACTIVATIONS is f32.
bool asks_exact();

// The same for a model on this chip. Errors: invalid_input for a value other than f32;
// unsupported where the chip's FP32 products are not exact.
Result<bool> wants_exact(const ChipProfile& chip);

// The rows of FP32 in INT8, with the numbers and scales of the CPU device, in working memory that
// the next call uses again. Not like the CPU device: of rows below 4e-37, which it takes for zeros,
// results are below 1e-30; of rows with an infinity they may be infinite instead of NaN.
Result<Quantised> quantise_exactly(Context& context, const View& in);

// out = float(sums) · row_scales · token_scales, in this order. `sums` i32 [tokens, rows], scales
// f32 [rows] and [tokens], `out` f32 and dense.
Result<void> dequantise(Context& context, const View& sums, const View& row_scales,
                        const View& token_scales, const View& out);

// `in` as FP32, rounded to BF16 on the way where weights of that format meet such activations.
Result<View> narrowed(Context& context, const View& in, WeightFormat format);

}  // namespace lotse::ascend
