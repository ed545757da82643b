#include "device/ascend/linear.h"

#include <algorithm>

#include "device/ascend/fractal.h"

namespace lotse::ascend {
namespace {

bool is_dense(const View& view) {
  int64_t expected = 1;
  for (size_t i = view.shape.size(); i-- > 0;) {
    if (view.shape[i] != 1 && view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

bool is_quantised(WeightFormat format) {
  return format == WeightFormat::w8a8 || format == WeightFormat::w4a16;
}

// Rows [first, first + rows) of a row-major segment, or all of one in FRACTAL_NZ, as stored.
View stored_rows(const Segment& weight, int64_t first, int64_t rows) {
  const AclType type = stored_type(weight.format);
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

// Ascend's quantised matmul: int8 by int8 into int32, then the weight's and the token's scale.
Result<void> int8_matmul(Context& context, const View& in, const Segment& weight, int64_t first,
                         int64_t rows, const View& out) {
  Queue& queue = context.queue;
  const Library& library = queue.library();
  const int64_t tokens = in.shape[0];
  const View quantised = LOTSE_TRY(context.scratch.view(Slot::quantised, AclType::i8, in.shape));
  const View scales = LOTSE_TRY(context.scratch.view(Slot::token_scales, AclType::f32, {tokens}));
  LOTSE_TRY(queue.run(library.dynamic_quant, queue.tensor(in), nullptr, queue.tensor(quantised),
                      queue.tensor(scales)));
  const View matrix = stored_rows(weight, first, rows);
  const View row_scales =
      View::dense(weight.scales.data(), weight.scale_type, {weight.rows}).rows(first, rows);
  if (weight.is_fractal()) {
    return queue.run(library.quant_matmul_nz, queue.tensor(quantised), queue.tensor(matrix),
                     queue.tensor(scales), queue.tensor(row_scales), nullptr, nullptr, nullptr,
                     nullptr, nullptr, false, true, 0, queue.tensor(out));
  }
  return queue.run(library.quant_matmul, queue.tensor(quantised), queue.tensor(matrix),
                   queue.tensor(row_scales), nullptr, queue.tensor(scales), nullptr, false, true,
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

}  // namespace

AclType result_type(const Context& context, const Segment& weight) {
  return is_quantised(weight.format) ? context.half : stored_type(weight.format);
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
  const AclType type = result_type(context, weight);
  const View x = LOTSE_TRY(converted(context, in, type, Slot::cast_in));
  const bool is_direct = out.type == type && is_dense(out);
  const View y =
      is_direct ? out : LOTSE_TRY(context.scratch.view(Slot::expert_out, type, out.shape));
  if (weight.format == WeightFormat::w8a8) {
    LOTSE_TRY(int8_matmul(context, x, weight, first, rows, y));
  } else if (weight.format == WeightFormat::w4a16) {
    LOTSE_TRY(int4_matmul(context, x, weight, first, rows, y));
  } else {
    LOTSE_TRY(plain_matmul(context, x, weight, first, rows, y));
  }
  if (is_direct) return {};
  return copy(context, y, out);
}

Result<void> linear(Context& context, const View& in, const PreparedWeight& weight,
                    const PreparedWeight* bias, const View& out) {
  Queue& queue = context.queue;
  int64_t column = 0;
  for (const Segment& segment : weight.segments) {
    const int64_t most = is_quantised(segment.format) ? kMaxQuantisedRows : segment.rows;
    for (int64_t first = 0; first < segment.rows; first += most) {
      const int64_t rows = std::min(most, segment.rows - first);
      const View columns = out.as({out.shape[0], rows}, out.strides, column);
      LOTSE_TRY(matmul(context, in, segment, first, rows, columns));
      column += rows;
    }
  }
  if (bias == nullptr) return {};
  const View values = View::dense(bias->vector.data(), out.type, {out.shape[1]});
  return queue.run(queue.library().inplace_add, queue.tensor(out), queue.tensor(values),
                   queue.scalar(1));
}

}  // namespace lotse::ascend
