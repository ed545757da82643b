// aclnnConvolution and aclnnIm2col. A convolution is a product of the weights with columns: the
// elements under the window, one column an output position.
#include <array>
#include <vector>

#include "aclnnop/window.h"
#include "ops/map_rows.h"
#include "ops/matmul.h"

namespace lotse::emulator {
namespace {

// One dimension of the window.
struct Axis {
  int64_t size, out_size;
  int64_t kernel, stride, padding, dilation;
  bool transposed;

  // The input position under element k of the window at output position o; -1 beside the input.
  // Transposed: input position i spreads to output positions i · stride - padding + k · dilation.
  int64_t source(int64_t o, int64_t k) const {
    if (!transposed) {
      const int64_t i = o * stride - padding + k * dilation;
      return i >= 0 && i < size ? i : -1;
    }
    const int64_t spread = o + padding - k * dilation;
    return spread >= 0 && spread % stride == 0 && spread / stride < size ? spread / stride : -1;
  }

  // The output's size; what a transposed one adds at its end is ambiguous and named by the caller.
  int64_t expected(int64_t output_padding) const {
    const int64_t reach = dilation * (kernel - 1) + 1;
    if (transposed) return (size - 1) * stride - 2 * padding + reach + output_padding;
    const int64_t room = size + 2 * padding - reach;
    return room < 0 ? 0 : room / stride + 1;
  }
};
using Axes = std::array<Axis, 2>;

// The numbers of both dimensions; a single dimension is the second, `other` stands for the first.
std::array<int64_t, 2> numbers(Op& op, const char* argument, const aclIntArray* array,
                               int64_t dimensions, int64_t least, int64_t other) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const std::vector<int64_t> values = op.ints(argument, array);
  op.require(std::ssize(values) == dimensions, "argument {}: got {} numbers, expected {}", argument,
             values.size(), dimensions);
  for (const int64_t value : values) {
    op.require(value >= least && value < kMost, "argument {}: got {}, expected {} or more",
               argument, value, least);
  }
  return {dimensions == 1 ? other : values[0], values.back()};
}

// columns[tap, p] = the element under `tap` = (channel, k0, k1) at output position first + p.
void fill_columns(const Axes& axes, const float* input, int64_t channels, int64_t first,
                  int64_t count, float* columns) {
  const auto& [high, wide] = axes;
  const int64_t taps = high.kernel * wide.kernel;
  parallel_for(channels * taps, row_grain(count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* plane = input + row / taps * high.size * wide.size;
      const int64_t k0 = row % taps / wide.kernel, k1 = row % wide.kernel;
      float* column = columns + row * count;
      for (int64_t p = 0; p < count; ++p) {
        const int64_t y = high.source((first + p) / wide.out_size, k0);
        const int64_t x = wide.source((first + p) % wide.out_size, k1);
        column[p] = y < 0 || x < 0 ? 0 : plane[y * wide.size + x];
      }
    }
  });
}

// A row-major matrix of floats on the host.
View matrix(std::vector<float>& values, int64_t rows, int64_t columns) {
  TensorDesc desc;
  desc.dims = {rows, columns};
  desc.strides = {columns, 1};
  return View(desc, reinterpret_cast<std::byte*>(values.data()));
}

struct Convolution {
  Tensor input, weight, bias, output;
  Axes axes;
  int64_t dimensions;
  int64_t groups, in_channels, out_channels;  // channels of one group
  InputRounding rounding;

  int64_t positions() const { return axes[0].out_size * axes[1].out_size; }
  int64_t taps() const { return in_channels * axes[0].kernel * axes[1].kernel; }

  // One spatial dimension becomes the second of two.
  View spatial(const View& view) const { return dimensions == 1 ? view.unsqueezed(2) : view; }

  // [out_channels, taps] of one group.
  std::vector<float> weights(int64_t group) const {
    if (!axes[0].transposed) {
      return read<float>(weight.view().slice(0, group * out_channels, out_channels));
    }
    const View part = weight.view().slice(0, group * in_channels, in_channels);
    return read<float>(part.transposed(0, 1));
  }

  // Stores outputs [first, first + count) of one channel.
  void store(const View& channel, int64_t first, int64_t count, const float* values) const {
    const int64_t width = axes[1].out_size, step = channel.strides()[1];
    while (count > 0) {
      const int64_t run = std::min(count, width - first % width);
      channel.store(channel.row_index(first / width) + first % width * step, step, run, values);
      first += run;
      values += run;
      count -= run;
    }
  }

  // One sample and group, so many positions at a time that the columns stay small.
  void run_group(const View& in, int64_t group, const View& out, const float* offsets) const {
    constexpr int64_t kColumns = int64_t{1} << 22;
    const std::vector<float> elements = read<float>(in);
    std::vector<float> kernel = weights(group);
    const int64_t chunk =
        std::clamp<int64_t>(kColumns / std::max<int64_t>(taps(), 1), 1, positions());
    std::vector<float> columns(static_cast<size_t>(taps() * chunk));
    for (int64_t first = 0; first < positions(); first += chunk) {
      const int64_t count = std::min(chunk, positions() - first);
      fill_columns(axes, elements.data(), in_channels, first, count, columns.data());
      multiply<float>(matrix(kernel, out_channels, taps()), matrix(columns, taps(), count),
                      rounding, [&](int64_t row, int64_t column, int64_t length, float* values) {
                        for (int64_t i = 0; i < length; ++i) values[i] += offsets[row];
                        store(out.select(0, row), first + column, length, values);
                      });
    }
  }

  void run() const {
    if (output.count() == 0) return;
    const View in = spatial(input.view()), out = spatial(output.view());
    std::vector<float> offsets(static_cast<size_t>(groups * out_channels), 0.0f);
    if (bias.present()) offsets = read<float>(bias.view());
    for (int64_t sample = 0; sample < in.size(0); ++sample) {
      for (int64_t g = 0; g < groups; ++g) {
        run_group(in.select(0, sample).slice(0, g * in_channels, in_channels), g,
                  out.select(0, sample).slice(0, g * out_channels, out_channels),
                  offsets.data() + g * out_channels);
      }
    }
  }
};

// The channels of input, weight and bias must fit each other.
void check_channels(Op& op, Convolution& c, bool transposed) {
  const int64_t channels = c.input.size(1), rows = c.weight.size(0), columns = c.weight.size(1);
  op.require(
      c.groups > 0 && channels % c.groups == 0 && rows % c.groups == 0,
      "argument groups: got {}, which does not divide the channels of input {} and weight {}",
      c.groups, c.input.desc().text(), c.weight.desc().text());
  c.in_channels = channels / c.groups;
  c.out_channels = transposed ? columns : rows / c.groups;
  op.require(transposed ? rows == channels : columns == c.in_channels,
             "{}, but input {} has {} channels in {} groups", c.weight.text(),
             c.input.desc().text(), channels, c.groups);
  if (c.bias.present()) op.expect_shape(c.bias, {c.groups * c.out_channels});
}

}  // namespace

// clang-format off
ACLNN(aclnnConvolution, const aclTensor* input, const aclTensor* weight, const aclTensor* bias, const aclIntArray* stride, const aclIntArray* padding, const aclIntArray* dilation, bool transposed, const aclIntArray* outputPadding, int64_t groups, aclTensor* output, int8_t cubeMathType) {
  Convolution c;
  c.input = op.in("input", input, kMatmulDtypes);
  c.weight = op.in("weight", weight, kMatmulDtypes);
  c.bias = op.optional_in("bias", bias, kMatmulDtypes);
  c.output = op.out("output", output, kMatmulDtypes);
  op.expect_rank(c.input, 3, 4);
  op.expect_rank(c.weight, c.input.rank(), c.input.rank());
  c.dimensions = c.input.rank() - 2;
  c.groups = groups;
  check_channels(op, c, transposed);
  const auto steps = numbers(op, "stride", stride, c.dimensions, 1, 1), pads = numbers(op, "padding", padding, c.dimensions, 0, 0);
  const auto dilations = numbers(op, "dilation", dilation, c.dimensions, 1, 1);
  const auto added = transposed ? numbers(op, "outputPadding", outputPadding, c.dimensions, 0, 0) : std::array<int64_t, 2>{};
  Dims expected = {c.input.size(0), c.groups * c.out_channels};
  for (size_t i = 0; i < 2; ++i) {
    const auto dim = static_cast<int64_t>(i) + c.input.rank() - 2;
    const bool single = c.dimensions == 1 && i == 0;
    Axis& axis = c.axes[i];
    axis = {single ? 1 : c.input.size(dim), 0, single ? 1 : c.weight.size(dim), steps[i], pads[i], dilations[i], transposed};
    op.require(axis.kernel > 0, "{}, which has no elements along {}", c.weight.text(), dim);
    op.require(added[i] < std::max(axis.stride, axis.dilation), "argument outputPadding: got {}, expected less than stride {} or dilation {}",
               added[i], axis.stride, axis.dilation);
    axis.out_size = axis.expected(added[i]);
    if (!single) expected.push_back(axis.out_size);
  }
  op.expect_shape(c.output, expected);
  const aclDataType type = promoted(c.input.dtype(), c.weight.dtype());
  c.rounding = input_rounding(op, cubeMathType, type);
  const int64_t places = transposed ? c.axes[0].size * c.axes[1].size : c.positions();
  op.matmul_cost(cube_rate(type, c.rounding), c.input.size(0) * c.groups, c.out_channels, places, c.taps());
  op.compute([c] { c.run(); });
} ACLNN_END

ACLNN(aclnnIm2col, const aclTensor* self, const aclIntArray* kernelSize, const aclIntArray* dilation, const aclIntArray* padding, const aclIntArray* stride, aclTensor* out) {
  const Tensor x = op.in("self", self, kMatmulDtypes);
  const Tensor y = op.out("out", out, {x.dtype()});
  op.expect_rank(x, 3, 4);
  const int64_t channels = x.size(x.rank() - 3);
  const auto kernel = numbers(op, "kernelSize", kernelSize, 2, 1, 1), dilations = numbers(op, "dilation", dilation, 2, 1, 1);
  const auto pads = numbers(op, "padding", padding, 2, 0, 0), steps = numbers(op, "stride", stride, 2, 1, 1);
  Axes axes;
  for (size_t i = 0; i < 2; ++i) {
    axes[i] = {x.size(x.rank() - 2 + static_cast<int64_t>(i)), 0, kernel[i], steps[i], pads[i], dilations[i], false};
    axes[i].out_size = axes[i].expected(0);
    op.require(axes[i].out_size > 0, "{}, on which the window does not fit", x.text());
  }
  const int64_t taps = kernel[0] * kernel[1], positions = axes[0].out_size * axes[1].out_size;
  Dims expected = {channels * taps, positions};
  if (x.rank() == 4) expected.insert(0, x.size(0));
  op.expect_shape(y, expected);
  op.compute([=] {
    if (y.count() == 0) return;
    const View from = x.view(), to = y.view();
    std::vector<float> plane(static_cast<size_t>(axes[0].size * axes[1].size)), columns(static_cast<size_t>(taps * positions));
    for (int64_t p = 0; p < to.rows() / taps; ++p) {
      load_rows(from, p * axes[0].size, axes[0].size, plane.data());
      fill_columns(axes, plane.data(), 1, 0, positions, columns.data());
      store_rows(to, p * taps, taps, columns.data());
    }
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
