#include "device/ascend/exact.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/environment.h"

namespace lotse::ascend {
namespace {

constexpr const char* kVariable = "LOTSE_ASCEND_ACTIVATIONS";
constexpr float kMostInt8 = 127;

// The smallest magnitude whose inverse for quantising is finite.
float least_usable() {
  float least = kMostInt8 / std::numeric_limits<float>::max();
  while (std::isinf(kMostInt8 / least)) least = std::nextafter(least, 1.0f);
  return least;
}

}  // namespace

bool asks_exact() { return environment(kVariable) == "f32"; }

Result<bool> wants_exact(const ChipProfile& chip) {
  const std::string value = environment(kVariable);
  if (value.empty()) return false;
  if (!asks_exact()) {
    return fail(ErrorCode::invalid_input,
                "{} is {}; f32 keeps activations in FP32, without it the weights decide", kVariable,
                value);
  }
  if (std::ranges::find(chip.matmul, "f32") == chip.matmul.end()) {
    return fail(ErrorCode::unsupported,
                "{}: {} multiplies no FP32, so that nothing there is exact; unset the variable, or "
                "use it on a chip of the 910 family",
                kVariable, chip.title);
  }
  return true;
}

Result<Quantised> quantise_exactly(Context& context, const View& in) {
  LOTSE_CHECK(in.type == AclType::f32);
  Queue& queue = context.queue;
  const Library& library = queue.library();
  const std::vector<int64_t> column = {in.shape[0], 1};
  const auto view = [&](Slot slot, AclType type, const std::vector<int64_t>& shape) {
    return context.scratch.view(slot, type, shape);
  };
  const View rows = LOTSE_TRY(view(Slot::exact_rows, AclType::f32, in.shape));
  const View largest = LOTSE_TRY(view(Slot::exact_largest, AclType::f32, column));
  const View index = LOTSE_TRY(view(Slot::exact_index, AclType::i64, column));
  const View most = LOTSE_TRY(view(Slot::exact_most, AclType::f32, {1}));
  const View inverse = LOTSE_TRY(view(Slot::exact_inverse, AclType::f32, column));
  const View scales = LOTSE_TRY(view(Slot::token_scales, AclType::f32, column));
  const View values = LOTSE_TRY(view(Slot::quantised, AclType::i8, in.shape));
  LOTSE_TRY(queue.run(library.abs, queue.tensor(in), queue.tensor(rows)));
  LOTSE_TRY(queue.run(library.max_dim, queue.tensor(rows), -1, true, queue.tensor(largest),
                      queue.tensor(index)));
  LOTSE_TRY(queue.run(library.inplace_fill, queue.tensor(most), queue.scalar(kMostInt8)));
  LOTSE_TRY(
      queue.run(library.div, queue.tensor(largest), queue.tensor(most), queue.tensor(scales)));
  LOTSE_TRY(queue.run(library.clamp_min, queue.tensor(largest), queue.scalar(least_usable()),
                      queue.tensor(largest)));
  LOTSE_TRY(
      queue.run(library.div, queue.tensor(most), queue.tensor(largest), queue.tensor(inverse)));
  LOTSE_TRY(queue.run(library.mul, queue.tensor(in), queue.tensor(inverse), queue.tensor(rows)));
  LOTSE_TRY(queue.run(library.round, queue.tensor(rows), queue.tensor(rows)));
  LOTSE_TRY(copy(context, rows, values));
  return Quantised{values, scales.as({in.shape[0]}, {1})};
}

Result<void> dequantise(Context& context, const View& sums, const View& row_scales,
                        const View& token_scales, const View& out) {
  Queue& queue = context.queue;
  const Library& library = queue.library();
  const View column = token_scales.as({sums.shape[0], 1}, {1, 1});
  LOTSE_TRY(copy(context, sums, out));
  LOTSE_TRY(queue.run(library.inplace_mul, queue.tensor(out), queue.tensor(row_scales)));
  return queue.run(library.inplace_mul, queue.tensor(out), queue.tensor(column));
}

Result<View> narrowed(Context& context, const View& in, WeightFormat format) {
  LOTSE_CHECK(in.type == AclType::f32);
  if (format != WeightFormat::bf16 && format != WeightFormat::w4a16) return in;
  const View rounded = LOTSE_TRY(converted(context, in, AclType::bf16, Slot::cast_in));
  return converted(context, rounded, AclType::f32, Slot::exact_rows);
}

}  // namespace lotse::ascend
