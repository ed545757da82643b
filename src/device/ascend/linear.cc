#include "device/ascend/linear.h"

#include <algorithm>

#include "device/ascend/exact.h"
#include "device/ascend/fractal.h"

namespace lotse::ascend {
namespace {

bool is_quantised(WeightFormat format) {
  return format == WeightFormat::w8a8 || format == WeightFormat::w4a16;
}

// Rows [first, first + rows) of a row-major segment, or all of one in FRACTAL_NZ, as stored.
View stored_rows(const Segment& weight, int64_t first, int64_t rows) {
  const AclType type = weight.type();
  if (!weight.is_fractal()) {
    return View::dense(weight.data.data(), type, {weight.rows, weight.columns}).rows(first, rows);
  }
  LOTSE_CHECK(first == 0 && rows == weight.rows);
  return fractal_view(weight.data, type, weight.rows, weight.columns, weight.storage);
}

Result<void> plain_matmul(Context& context, const View& in, const Segment& weight, int64_t first,
                          int64_t rows, const View& out) {
  const View matrix = stored_rows(weight, first, rows);
  const View transposed = matrix.as({weight.columns, rows}, {1, weight.columns});
  Queue& queue = context.queue;
  const Library& library = queue.library();
  return queue.run(weight.is_fractal() ? library.matmul_nz : library.matmul, queue.tensor(in),
                   queue.tensor(transposed), queue.tensor(out), context.cube_math);
}

// Ascend's quantised matmul: int8 by int8 into int32, then the weight's and the token's scale; the
// bare sums where `out` is of INT32.
Result<void> multiply_int8(Context& context, const Quantised& in, const Segment& weight,
                           int64_t first, int64_t rows, const View& out) {
  Queue& queue = context.queue;
  const Library& library = queue.library();
  const View matrix = stored_rows(weight, first, rows);
  const View row_scales =
      View::dense(weight.scales.data(), weight.scale_type, {weight.rows}).rows(first, rows);
  const Handle<AclTensor> scales = queue.tensor(in.scales);
  const AclTensor* token_scales =
      out.type == AclType::i32 ? nullptr : static_cast<const AclTensor*>(scales);
  if (weight.is_fractal()) {
    return queue.run(library.quant_matmul_nz, queue.tensor(in.values), queue.tensor(matrix),
                     token_scales, queue.tensor(row_scales), nullptr, nullptr, nullptr, nullptr,
                     nullptr, false, true, 0, queue.tensor(out));
  }
  return queue.run(library.quant_matmul, queue.tensor(in.values), queue.tensor(matrix),
                   queue.tensor(row_scales), nullptr, token_scales, nullptr, false, true,
                   queue.tensor(out));
}

Result<void> int4_matmul(Context& context, const View& in, const Segment& weight, int64_t first,
                         int64_t rows, const View& out) {
  Queue& queue = context.queue;
  const int64_t groups = weight.columns / weight.group;
  const int64_t group = groups == 1 ? 0 : weight.group;  // 0: a scale for a whole column
  // Stored as [columns, rows].
  const View matrix =
      weight.is_fractal()
          ? fractal_view(weight.data, AclType::i4, weight.columns, weight.rows, weight.storage)
          : View::dense(weight.data.data(), AclType::i4, {weight.columns, weight.rows})
                .as({weight.columns, rows}, {weight.rows, 1}, first);
  const View scales = View::dense(weight.scales.data(), context.half, {groups, weight.rows})
                          .as({groups, rows}, {weight.rows, 1}, first);
  return queue.run(queue.library().weight_quant_matmul, queue.tensor(in), queue.tensor(matrix),
                   queue.tensor(scales), nullptr, nullptr, nullptr, nullptr,
                   static_cast<int>(group), queue.tensor(out));
}

bool is_int8(const PreparedWeight& weight) {
  return std::ranges::all_of(
      weight.segments, [](const Segment& segment) { return segment.format == WeightFormat::w8a8; });
}

// multiply(y) with a dense y of that type, which `out` gets.
template <class F>
Result<void> into(Context& context, AclType type, const View& out, const F& multiply) {
  if (out.type == type && is_dense(out)) return multiply(out);
  const View y = LOTSE_TRY(context.scratch.view(Slot::expert_out, type, out.shape));
  LOTSE_TRY(multiply(y));
  return copy(context, y, out);
}

Result<void> int8_matmul(Context& context, const Quantised& in, const Segment& weight,
                         int64_t first, int64_t rows, const View& out) {
  if (context.exact) {
    const View sums =
        LOTSE_TRY(context.scratch.view(Slot::sums, AclType::i32, {in.values.shape[0], rows}));
    LOTSE_TRY(multiply_int8(context, in, weight, first, rows, sums));
    const View row_scales = View::dense(weight.scales.data(), AclType::f32, {weight.rows});
    return into(context, AclType::f32, out, [&](const View& y) {
      return dequantise(context, sums, row_scales.rows(first, rows), in.scales, y);
    });
  }
  return into(context, context.half, out,
              [&](const View& y) { return multiply_int8(context, in, weight, first, rows, y); });
}

// multiply(segment, first, rows, columns of `out`) for as many rows of a weight as a product takes.
template <class F>
Result<void> for_each_product(const PreparedWeight& weight, const View& out, const F& multiply) {
  int64_t column = 0;
  for (const Segment& segment : weight.segments) {
    const int64_t most = is_quantised(segment.format) ? kMaxQuantisedRows : segment.rows;
    for (int64_t first = 0; first < segment.rows; first += most) {
      const int64_t rows = std::min(most, segment.rows - first);
      LOTSE_TRY(multiply(segment, first, rows, out.as({out.shape[0], rows}, out.strides, column)));
      column += rows;
    }
  }
  return {};
}

Result<void> add_bias(Context& context, const PreparedWeight* bias, const View& out) {
  if (bias == nullptr) return {};
  Queue& queue = context.queue;
  const View values = View::dense(bias->vector.data(), out.type, {out.shape[1]});
  return queue.run(queue.library().inplace_add, queue.tensor(out), queue.tensor(values),
                   queue.scalar(1));
}

}  // namespace

bool is_dense(const View& view) {
  int64_t expected = 1;
  for (size_t i = view.shape.size(); i-- > 0;) {
    if (view.shape[i] != 1 && view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

AclType result_type(const Context& context, const Segment& weight) {
  const AclType type = weight.type();
  return type == AclType::i8 || type == AclType::i4 ? context.half : type;
}

Result<void> copy(Context& context, const View& in, const View& out) {
  Queue& queue = context.queue;
  if (in.type == out.type) {
    return queue.run(queue.library().inplace_copy, queue.tensor(out), queue.tensor(in));
  }
  if (is_dense(out)) {
    return queue.run(queue.library().cast, queue.tensor(in), out.type, queue.tensor(out));
  }
  const View dense = LOTSE_TRY(context.scratch.view(Slot::cast_out, out.type, out.shape));
  LOTSE_TRY(queue.run(queue.library().cast, queue.tensor(in), out.type, queue.tensor(dense)));
  return queue.run(queue.library().inplace_copy, queue.tensor(out), queue.tensor(dense));
}

Result<View> converted(Context& context, const View& in, AclType type, Slot slot) {
  if (in.type == type) return in;
  View out = LOTSE_TRY(context.scratch.view(slot, type, in.shape));
  LOTSE_TRY(copy(context, in, out));
  return out;
}

Result<void> matmul(Context& context, const View& in, const Segment& weight, int64_t first,
                    int64_t rows, const View& out) {
  if (weight.format == WeightFormat::w8a8) {
    const Quantised quantised = LOTSE_TRY(quantise(context, in));
    return int8_matmul(context, quantised, weight, first, rows, out);
  }
  const AclType type = result_type(context, weight);
  const View x = LOTSE_TRY(weight.is_wide ? narrowed(context, in, weight.format)
                                          : converted(context, in, type, Slot::cast_in));
  return into(context, type, out, [&](const View& y) {
    return weight.type() == AclType::i4 ? int4_matmul(context, x, weight, first, rows, y)
                                        : plain_matmul(context, x, weight, first, rows, y);
  });
}

Result<Quantised> quantise(Context& context, const View& in) {
  if (context.exact) return quantise_exactly(context, in);
  Queue& queue = context.queue;
  const View x = LOTSE_TRY(converted(context, in, context.half, Slot::cast_in));
  Quantised out;
  out.values = LOTSE_TRY(context.scratch.view(Slot::quantised, AclType::i8, in.shape));
  out.scales = LOTSE_TRY(context.scratch.view(Slot::token_scales, AclType::f32, {in.shape[0]}));
  LOTSE_TRY(queue.run(queue.library().dynamic_quant, queue.tensor(x), nullptr,
                      queue.tensor(out.values), queue.tensor(out.scales)));
  return out;
}

Result<void> linear(Context& context, const View& in, const PreparedWeight& weight,
                    const PreparedWeight* bias, const View& out) {
  if (is_int8(weight)) {
    const Quantised quantised = LOTSE_TRY(quantise(context, in));
    return linear(context, quantised, weight, bias, out);
  }
  LOTSE_TRY(for_each_product(
      weight, out, [&](const Segment& segment, int64_t first, int64_t rows, const View& columns) {
        return matmul(context, in, segment, first, rows, columns);
      }));
  return add_bias(context, bias, out);
}

Result<void> linear(Context& context, const Quantised& in, const PreparedWeight& weight,
                    const PreparedWeight* bias, const View& out) {
  LOTSE_TRY(for_each_product(
      weight, out, [&](const Segment& segment, int64_t first, int64_t rows, const View& columns) {
        return int8_matmul(context, in, segment, first, rows, columns);
      }));
  return add_bias(context, bias, out);
}

Result<void> gated_linear(Context& context, const Quantised& in, const PreparedWeight& weight,
                          const Quantised& out) {
  Queue& queue = context.queue;
  const Segment& segment = weight.segments.front();
  const int64_t tokens = in.values.shape[0];
  const View sums =
      LOTSE_TRY(context.scratch.view(Slot::sums, AclType::i32, {tokens, segment.rows}));
  LOTSE_TRY(multiply_int8(context, in, segment, 0, segment.rows, sums));
  const View row_scales = View::dense(segment.scales.data(), AclType::f32, {segment.rows});
  char mode[] = "dynamic";
  return queue.run(queue.library().dequant_swiglu_quant, queue.tensor(sums),
                   queue.tensor(row_scales), queue.tensor(in.scales.as({tokens, 1}, {1, 1})),
                   nullptr, nullptr, nullptr, nullptr, true, mode, queue.tensor(out.values),
                   queue.tensor(out.scales));
}

}  // namespace lotse::ascend
