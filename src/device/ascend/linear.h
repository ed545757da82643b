// Linears in every weight format, and the copies and conversions that operators share.
#pragma once

#include "device/ascend/prepared_weight.h"
#include "device/ascend/scratch.h"

namespace lotse::ascend {

// What every operator needs. `half` is the type that quantised weights are computed with,
// `cube_math` what FP32 products become on a chip that has none.
struct Context {
  Queue& queue;
  Scratch& scratch;
  AclType half;
  int8_t cube_math;
  bool exact = false;  // whether the arithmetic is that of exact.h
};

// out = in, converted where the types differ; either may be strided.
Result<void> copy(Context& context, const View& in, const View& out);

// `in` itself where it has that type, else a converted copy in `slot`.
Result<View> converted(Context& context, const View& in, AclType type, Slot slot);

// The type of a product's activations and results with this weight.
AclType result_type(const Context& context, const Segment& weight);

// Rows in INT8 with a scale each: x ≈ values · scale.
struct Quantised {
  View values;  // i8 [tokens, columns]
  View scales;  // f32 [tokens]
};

// All of it is in memory, without gaps.
bool is_dense(const View& view);

// Quantises each row by itself, into working memory that the next call uses again.
Result<Quantised> quantise(Context& context, const View& in);

// out[t, n] = Σ_k in[t, k] · weight[n, k] over rows [first, first + rows) of the weight. `in` and
// `out` are matrices of the type of activations.
Result<void> matmul(Context& context, const View& in, const Segment& weight, int64_t first,
                    int64_t rows, const View& out);

// All segments, and the bias where `bias` is not null.
Result<void> linear(Context& context, const View& in, const PreparedWeight& weight,
                    const PreparedWeight* bias, const View& out);

// The same of rows that are quantised; all segments are of INT8.
Result<void> linear(Context& context, const Quantised& in, const PreparedWeight& weight,
                    const PreparedWeight* bias, const View& out);

// The linear without bias of a weight of one INT8 segment, its gated activation by silu, and the
// quantisation of that, with no rounding in between.
Result<void> gated_linear(Context& context, const Quantised& in, const PreparedWeight& weight,
                          const Quantised& out);

}  // namespace lotse::ascend
