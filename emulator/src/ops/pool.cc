// Pooling over the last two dimensions.
#include <array>
#include <cmath>
#include <vector>

#include "aclnnop/window.h"
#include "ops/map_rows.h"

namespace lotse::emulator {
namespace {

struct Axis {
  int64_t size, out_size;
  int64_t kernel, stride, before, after;  // padding before and after

  // With ceil_mode a last window may hang over the end, but it must begin before the padding there.
  int64_t expected(bool ceil_mode) const {
    const int64_t room = size + before + after - kernel;
    if (room < 0) return 0;
    const int64_t count = (ceil_mode ? (room + stride - 1) / stride : room / stride) + 1;
    return ceil_mode && (count - 1) * stride >= size + before ? count - 1 : count;
  }
  // The window's elements, in coordinates of the input and cut to it.
  int64_t start(int64_t o) const { return o * stride - before; }
  int64_t first(int64_t o) const { return std::max<int64_t>(start(o), 0); }
  int64_t last(int64_t o) const { return std::min(start(o) + kernel, size); }
  // Its length with the padding in it.
  int64_t padded_length(int64_t o) const {
    return std::min(start(o) + kernel, size + after) - start(o);
  }
};
using Axes = std::array<Axis, 2>;

// One number for both dimensions or two, each at least `least`; none gives `otherwise`.
std::array<int64_t, 2> numbers(Op& op, const char* argument, const aclIntArray* array,
                               int64_t least, std::array<int64_t, 2> otherwise) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const std::vector<int64_t> values = op.ints(argument, array);
  op.require(values.size() <= 2, "argument {}: got {} numbers, expected 1 or 2", argument,
             values.size());
  for (const int64_t value : values) {
    op.require(value >= least && value < kMost, "argument {}: got {}, expected {} or more",
               argument, value, least);
  }
  if (values.empty()) return otherwise;
  return {values.front(), values.back()};
}

std::array<int64_t, 2> kernel_of(Op& op, const char* argument, const aclIntArray* array) {
  const auto kernel = numbers(op, argument, array, 1, {0, 0});
  op.require(kernel[0] > 0, "argument {}: got no numbers, expected 1 or 2", argument);
  return kernel;
}

// Sets the output's size and checks `y` against it.
void complete(Op& op, const Tensor& x, const Tensor& y, bool ceil_mode, Axes& axes) {
  Dims expected = x.dims();
  for (size_t i = 0; i < 2; ++i) {
    Axis& axis = axes[i];
    const int64_t dim = x.rank() - 2 + static_cast<int64_t>(i);
    axis.size = x.size(dim);
    op.require(axis.before <= axis.kernel / 2 && axis.after <= axis.kernel / 2,
               "padding {} and {} is more than half of the window's {}", axis.before, axis.after,
               axis.kernel);
    axis.out_size = axis.expected(ceil_mode);
    op.require(axis.out_size > 0, "{}, on which the window does not fit", x.text());
    expected[dim] = axis.out_size;
  }
  op.expect_shape(y, expected);
  op.cost().vector_ops = static_cast<double>(y.count()) * static_cast<double>(axes[0].kernel) *
                         static_cast<double>(axes[1].kernel);
}

// f(plane, o0, o1) for every output of every plane.
template <class F>
void pool(const View& in, const View& out, const Axes& axes, const F& f) {
  if (out.count() == 0) return;
  const int64_t planes = out.rows() / axes[0].out_size, plane_size = axes[0].size * axes[1].size;
  parallel_for(planes, row_grain(plane_size), [&](int64_t begin, int64_t end) {
    std::vector<double> plane(static_cast<size_t>(plane_size));
    std::vector<double> row(static_cast<size_t>(axes[1].out_size));
    for (int64_t p = begin; p < end; ++p) {
      load_rows(in, p * axes[0].size, axes[0].size, plane.data());
      for (int64_t o0 = 0; o0 < axes[0].out_size; ++o0) {
        for (int64_t o1 = 0; o1 < axes[1].out_size; ++o1) {
          row[static_cast<size_t>(o1)] = f(plane.data(), o0, o1);
        }
        out.store_row(p * axes[0].out_size + o0, row.data());
      }
    }
  });
}

// Calls f with every element under the window.
template <class F>
void under_window(const Axes& axes, const double* plane, int64_t o0, int64_t o1, const F& f) {
  for (int64_t y = axes[0].first(o0); y < axes[0].last(o0); ++y) {
    for (int64_t x = axes[1].first(o1); x < axes[1].last(o1); ++x) f(plane[y * axes[1].size + x]);
  }
}

}  // namespace

// clang-format off
ACLNN(aclnnAvgPool2d, const aclTensor* self, const aclIntArray* kernelSize, const aclIntArray* strides, const aclIntArray* paddings, bool ceilMode, bool countIncludePad, int64_t divisorOverride, int8_t cubeMathType, aclTensor* out) {
  const Tensor x = op.in("self", self, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  const Tensor y = op.out("out", out, {x.dtype()});
  op.expect_rank(x, 3, 4);
  op.require(cubeMathType >= 0 && cubeMathType <= 3, "argument cubeMathType: got {}, expected 0 to 3", static_cast<int>(cubeMathType));
  const auto kernel = kernel_of(op, "kernelSize", kernelSize), steps = numbers(op, "strides", strides, 1, kernel);
  const auto pads = numbers(op, "paddings", paddings, 0, {0, 0});
  Axes axes;
  for (size_t i = 0; i < 2; ++i) axes[i] = {0, 0, kernel[i], steps[i], pads[i], pads[i]};
  complete(op, x, y, ceilMode, axes);
  op.compute([=] {
    pool(x.view(), y.view(), axes, [&](const double* plane, int64_t o0, int64_t o1) {
      double sum = 0;
      int64_t elements = 0;
      under_window(axes, plane, o0, o1, [&](double value) { sum += value; ++elements; });
      const int64_t all = countIncludePad ? axes[0].padded_length(o0) * axes[1].padded_length(o1) : elements;
      return elements == 0 ? 0 : sum / static_cast<double>(divisorOverride != 0 ? divisorOverride : all);
    });
  });
} ACLNN_END

ACLNN(aclnnMaxPool, const aclTensor* self, const aclIntArray* kernelShape, const aclIntArray* strides, int64_t autoPad, const aclIntArray* pads, const aclIntArray* dilations, int64_t ceilMode, aclTensor* out) {
  const Tensor x = op.in("self", self, {ACL_FLOAT, ACL_FLOAT16});
  const Tensor y = op.out("out", out, {x.dtype()});
  op.expect_rank(x, 3, 4);
  op.require(autoPad == 0, "argument autoPad: got {}, expected 0", autoPad);
  for (const int64_t number : op.ints("dilations", dilations)) {
    op.require(number == 1, "argument dilations: got {}, expected 1", number);
  }
  const auto kernel = kernel_of(op, "kernelShape", kernelShape), steps = numbers(op, "strides", strides, 1, kernel);
  // Top, bottom, left and right, or as two numbers or one.
  std::vector<int64_t> around = op.ints("pads", pads);
  if (around.size() != 4) {
    const auto both = numbers(op, "pads", pads, 0, {0, 0});
    around = {both[0], both[0], both[1], both[1]};
  }
  for (const int64_t number : around) op.require(number >= 0, "argument pads: {} is negative", number);
  Axes axes;
  for (size_t i = 0; i < 2; ++i) axes[i] = {0, 0, kernel[i], steps[i], around[2 * i], around[2 * i + 1]};
  complete(op, x, y, ceilMode != 0, axes);
  op.compute([=] {
    pool(x.view(), y.view(), axes, [&](const double* plane, int64_t o0, int64_t o1) {
      double most = -INFINITY;
      under_window(axes, plane, o0, o1, [&](double value) { most = value > most || value != value ? value : most; });
      return most;
    });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
