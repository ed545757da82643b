// Convolutions, im2col and pooling against their definitions in double.
#include "aclnnop/window.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "support.h"

namespace emulator_test {
namespace {

class Window : public DeviceTest {};

constexpr int8_t kKeep = 0;  // cubeMathType

struct Case {
  Shape input, weight;
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups = 1;
  std::vector<int64_t> output_padding = {};
};

const Case kCases[] = {
    {{2, 3, 11}, {5, 3, 4}, {1}, {0}, {1}},
    {{2, 6, 11}, {9, 2, 3}, {2}, {3}, {2}, 3},
    {{1, 5, 9}, {5, 1, 4}, {1}, {0}, {1}, 5},
    {{2, 3, 7, 9}, {4, 3, 3, 2}, {1, 1}, {0, 0}, {1, 1}},
    {{1, 4, 8, 5}, {6, 2, 3, 3}, {2, 1}, {1, 2}, {2, 1}, 2},
    {{3, 2, 1, 1}, {3, 2, 1, 1}, {1, 1}, {0, 0}, {1, 1}},
    {{1, 1, 70, 90}, {2, 1, 5, 7}, {3, 2}, {2, 3}, {1, 2}},
};
const Case kTransposed[] = {
    {{2, 3, 7}, {3, 4, 5}, {1}, {0}, {1}, 1, {0}},
    {{2, 6, 7}, {6, 2, 3}, {3}, {1}, {2}, 3, {2}},
    {{2, 3, 5, 4}, {3, 4, 3, 2}, {1, 1}, {0, 0}, {1, 1}, 1, {0, 0}},
    {{1, 4, 5, 6}, {4, 3, 3, 4}, {2, 3}, {1, 2}, {1, 2}, 2, {1, 2}},
};

// The definition: every input element times every weight it meets, added where they land. The
// dimensions of space are walked as positions of a small shape.
std::map<Shape, double> convolved(const Case& c, const Tensor& x, const Tensor& w, bool transposed,
                                  const Shape& out) {
  const size_t space = c.stride.size();
  const int64_t in_channels = x.dims()[1] / c.groups, out_channels = out[1] / c.groups;
  const Shape kernel(w.dims().begin() + 2, w.dims().end());
  std::map<Shape, double> result;
  for_each_position(out, [&](const Shape& at) { result[at] = 0; });
  for_each_position(x.dims(), [&](const Shape& from) {
    const int64_t group = from[1] / in_channels, channel = from[1] % in_channels;
    for_each_position(kernel, [&](const Shape& tap) {
      Shape at = {from[0], 0};
      bool lands = true;
      for (size_t i = 0; i < space; ++i) {
        const int64_t offset = tap[i] * c.dilation[i] - c.padding[i];
        int64_t o = transposed ? from[2 + i] * c.stride[i] + offset : from[2 + i] - offset;
        if (!transposed) {
          lands = lands && o % c.stride[i] == 0;
          o /= c.stride[i];
          lands = lands && from[2 + i] - offset >= 0;
        }
        lands = lands && o >= 0 && o < out[2 + i];
        at.push_back(o);
      }
      if (!lands) return;
      for (int64_t o = 0; o < out_channels; ++o) {
        at[1] = group * out_channels + o;
        Shape where = transposed ? Shape{from[1], o} : Shape{at[1], channel};
        where.insert(where.end(), tap.begin(), tap.end());
        result[at] += x.at(from) * w.at(where);
      }
    });
  });
  return result;
}

Shape output_shape(const Case& c, bool transposed) {
  Shape out = {c.input[0], transposed ? c.weight[1] * c.groups : c.weight[0]};
  for (size_t i = 0; i < c.stride.size(); ++i) {
    const int64_t reach = c.dilation[i] * (c.weight[2 + i] - 1) + 1, size = c.input[2 + i];
    out.push_back(transposed
                      ? (size - 1) * c.stride[i] - 2 * c.padding[i] + reach + c.output_padding[i]
                      : (size + 2 * c.padding[i] - reach) / c.stride[i] + 1);
  }
  return out;
}

void expect_convolution(const Case& c, aclDataType dtype, bool transposed, bool scattered,
                        bool biased) {
  SCOPED_TRACE(testing::Message() << testing::PrintToString(c.input) << " dtype " << dtype
                                  << " transposed " << transposed << " scattered " << scattered);
  const Tensor x = Tensor::random(dtype, c.input, 1, scattered);
  const Tensor w = Tensor::random(dtype, c.weight, 2, scattered);
  const Shape out = output_shape(c, transposed);
  const Tensor y = Tensor::output(dtype, out, scattered);
  const Tensor bias = Tensor::random(dtype, {out[1]}, 3);
  const aclTensor* offsets = biased ? static_cast<const aclTensor*>(bias) : nullptr;
  RUN(aclnnConvolution, x, w, offsets, Ints(c.stride), Ints(c.padding), Ints(c.dilation),
      transposed, Ints(transposed ? c.output_padding : c.padding), c.groups, y, kKeep);
  const auto expected = convolved(c, x, w, transposed, out);
  expect_values(
      y, [&](const Shape& at) { return expected.at(at) + (biased ? bias.at({at[1]}) : 0); }, 1.05,
      2e-5);
}

TEST_F(Window, Convolutions) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const bool scattered : {false, true}) {
      for (const Case& c : kCases) expect_convolution(c, dtype, false, scattered, scattered);
      for (const Case& c : kTransposed) expect_convolution(c, dtype, true, scattered, !scattered);
    }
  }
}

TEST_F(Window, ConvolutionRefusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 4, 9}, 1),
               w = Tensor::random(ACL_FLOAT, {6, 2, 3}, 2);
  const Tensor y = Tensor::output(ACL_FLOAT, {2, 6, 7}), bias = Tensor::random(ACL_FLOAT, {5}, 3);
  const Ints one{1}, none{0}, two{1, 1}, nought{-1};
  EXPECT_REFUSED(
      161002,
      "argument weight: got FLOAT [6, 2, 3], but input FLOAT [2, 4, 9] has 4 channels in 1 groups",
      aclnnConvolution, x, w, nullptr, one, none, one, false, none, 1, y, kKeep);
  EXPECT_REFUSED(161002, "argument groups: got 3, which does not divide", aclnnConvolution, x, w,
                 nullptr, one, none, one, false, none, 3, y, kKeep);
  EXPECT_REFUSED(161002, "argument groups: got 0", aclnnConvolution, x, w, nullptr, one, none, one,
                 false, none, 0, y, kKeep);
  EXPECT_REFUSED(161002, "argument bias: got FLOAT [5], expected shape [6]", aclnnConvolution, x, w,
                 bias, one, none, one, false, none, 2, y, kKeep);
  EXPECT_REFUSED(161002, "argument stride: got 2 numbers, expected 1", aclnnConvolution, x, w,
                 nullptr, two, none, one, false, none, 2, y, kKeep);
  EXPECT_REFUSED(161002, "argument stride: got 0, expected 1 or more", aclnnConvolution, x, w,
                 nullptr, none, none, one, false, none, 2, y, kKeep);
  EXPECT_REFUSED(161002, "argument padding: got -1, expected 0 or more", aclnnConvolution, x, w,
                 nullptr, one, nought, one, false, none, 2, y, kKeep);
  EXPECT_REFUSED(161002, "argument output: got FLOAT [2, 6, 7], expected shape [2, 6, 9]",
                 aclnnConvolution, x, w, nullptr, one, one, one, false, none, 2, y, kKeep);
}

TEST_F(Window, Im2col) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const bool scattered : {false, true}) {
      for (const bool batched : {false, true}) {
        // Windows of 2 × 3, dilation 2 × 1, padding 1 × 2, stride 1 × 2: 6 × 4 of them.
        const Tensor x =
            Tensor::random(dtype, batched ? Shape{2, 3, 6, 5} : Shape{3, 6, 5}, 3, scattered);
        const Tensor y =
            Tensor::output(dtype, batched ? Shape{2, 18, 24} : Shape{18, 24}, !scattered);
        RUN(aclnnIm2col, x, Ints({2, 3}), Ints({2, 1}), Ints({1, 2}), Ints({1, 2}), y);
        expect_values(
            y,
            [&](Shape at) {
              const Shape batch = batched ? Shape{at[0]} : Shape{};
              if (batched) at.erase(at.begin());
              const int64_t row = at[1] / 4 - 1 + at[0] % 6 / 3 * 2,
                            column = at[1] % 4 * 2 - 2 + at[0] % 3;
              if (row < 0 || row >= 6 || column < 0 || column >= 5) return 0.0;
              Shape from = batch;
              from.insert(from.end(), {at[0] / 6, row, column});
              return x.at(from);
            },
            0);
      }
    }
  }
  const Tensor none = Tensor::random(ACL_FLOAT, {1, 0, 2}, 3),
               y = Tensor::output(ACL_FLOAT, {4, 3});
  RUN(aclnnIm2col, none, Ints({2, 2}), Ints({1, 1}), Ints({1, 1}), Ints({1, 1}), y);
  expect_values(y, [](const Shape&) { return 0; }, 0);
  const Tensor x = Tensor::random(ACL_FLOAT, {1, 1, 2}, 3);
  EXPECT_REFUSED(161002, "argument self: got FLOAT [1, 1, 2], on which the window does not fit",
                 aclnnIm2col, x, Ints({2, 2}), Ints({1, 1}), Ints({0, 0}), Ints({1, 1}), y);
}

struct Pool {
  int64_t kernel[2], stride[2], before[2], after[2];
  bool ceil;
  Shape out;  // for an input of 7 × 10, as PyTorch gives it
};
const Pool kPools[] = {
    {{2, 3}, {2, 3}, {0, 0}, {0, 0}, false, {3, 3}},
    {{2, 3}, {2, 3}, {0, 0}, {0, 0}, true, {4, 4}},
    {{3, 4}, {2, 3}, {1, 2}, {1, 2}, false, {4, 4}},
    {{3, 2}, {3, 4}, {1, 1}, {1, 1}, true, {3, 3}},
    {{1, 1}, {1, 1}, {0, 0}, {0, 0}, false, {7, 10}},
};

// Positions under a window, and how many it has when padding counts.
struct Under {
  std::vector<double> values;
  int64_t padded = 1;
};
Under under(const Pool& pool, const Tensor& x, const Shape& at) {
  Under result;
  int64_t first[2], last[2];
  const size_t rank = at.size();
  for (size_t i = 0; i < 2; ++i) {
    const int64_t size = x.dims()[rank - 2 + i];
    first[i] = at[rank - 2 + i] * pool.stride[i] - pool.before[i];
    last[i] = std::min(first[i] + pool.kernel[i], size + pool.after[i]);
    result.padded *= last[i] - first[i];
    last[i] = std::min(last[i], size);
  }
  Shape from = at;
  for (int64_t row = std::max<int64_t>(first[0], 0); row < last[0]; ++row) {
    for (int64_t column = std::max<int64_t>(first[1], 0); column < last[1]; ++column) {
      from[rank - 2] = row;
      from[rank - 1] = column;
      result.values.push_back(x.at(from));
    }
  }
  return result;
}

TEST_F(Window, AveragePooling) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const Pool& pool : kPools) {
      for (const bool scattered : {false, true}) {
        Shape in = {2, 7, 10}, out = {2};
        if (scattered) in.insert(in.begin(), 3), out.insert(out.begin(), 3);
        out.insert(out.end(), pool.out.begin(), pool.out.end());
        const Tensor x = Tensor::random(dtype, in, 3, scattered);
        const Tensor y = Tensor::output(dtype, out, scattered);
        const auto mean = [&](const Shape& at, int64_t divisor) {
          const auto [values, padded] = under(pool, x, at);
          double sum = 0;
          for (const double value : values) sum += value;
          return sum / static_cast<double>(divisor > 0   ? divisor
                                           : divisor < 0 ? padded
                                                         : std::ssize(values));
        };
        const Ints kernel{pool.kernel[0], pool.kernel[1]}, stride{pool.stride[0], pool.stride[1]};
        const Ints padding{pool.before[0], pool.before[1]};
        RUN(aclnnAvgPool2d, x, kernel, stride, padding, pool.ceil, true, 0, kKeep, y);
        expect_values(y, [&](const Shape& at) { return mean(at, -1); }, 1.05, 1e-15);
        RUN(aclnnAvgPool2d, x, kernel, stride, padding, pool.ceil, false, 0, kKeep, y);
        expect_values(y, [&](const Shape& at) { return mean(at, 0); }, 1.05, 1e-15);
        RUN(aclnnAvgPool2d, x, kernel, stride, padding, pool.ceil, true, 5, kKeep, y);
        expect_values(y, [&](const Shape& at) { return mean(at, 5); }, 1.05, 1e-15);
      }
    }
  }
}

TEST_F(Window, MaximumPooling) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16}) {
    for (Pool pool : kPools) {
      const Tensor x = Tensor::random(dtype, {3, 2, 7, 10}, 3, true, -9, -1);
      const Tensor y = Tensor::output(dtype, {3, 2, pool.out[0], pool.out[1]}, true);
      RUN(aclnnMaxPool, x, Ints({pool.kernel[0], pool.kernel[1]}),
          Ints({pool.stride[0], pool.stride[1]}), 0,
          Ints({pool.before[0], pool.after[0], pool.before[1], pool.after[1]}), Ints({1, 1}),
          pool.ceil ? 1 : 0, y);
      expect_values(
          y, [&](const Shape& at) { return std::ranges::max(under(pool, x, at).values); }, 0);
    }
  }
  // One more row at the top than at the bottom; the stride is the window's size unless given.
  const Pool uneven = {{2, 2}, {2, 2}, {1, 0}, {0, 0}, false, {4, 5}};
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 7, 10}, 3),
               y = Tensor::output(ACL_FLOAT, {2, 4, 5});
  const Ints none(std::vector<int64_t>{});
  RUN(aclnnMaxPool, x, Ints({2}), none, 0, Ints({1, 0, 0, 0}), none, 0, y);
  expect_values(
      y, [&](const Shape& at) { return std::ranges::max(under(uneven, x, at).values); }, 0);
}

TEST_F(Window, PoolingRefusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {2, 7, 10}, 3),
               y = Tensor::output(ACL_FLOAT, {2, 4, 5});
  const Tensor brain = Tensor::random(ACL_BF16, {2, 7, 10}, 3);
  const Ints none(std::vector<int64_t>{}), two{2, 2}, zero{0, 0};
  EXPECT_REFUSED(161002, "argument out: got FLOAT [2, 4, 5], expected shape [2, 3, 5]",
                 aclnnAvgPool2d, x, two, none, zero, false, true, 0, kKeep, y);
  EXPECT_REFUSED(161002, "padding 2 and 2 is more than half of the window's 2", aclnnAvgPool2d, x,
                 two, none, two, false, true, 0, kKeep, y);
  EXPECT_REFUSED(161002, "argument kernelSize: got no numbers", aclnnAvgPool2d, x, none, none, zero,
                 false, true, 0, kKeep, y);
  EXPECT_REFUSED(161002, "argument dilations: got 2, expected 1", aclnnMaxPool, x, two, none, 0,
                 zero, two, 0, y);
  EXPECT_REFUSED(161002,
                 "argument self: got BF16 [2, 7, 10], but Ascend910B3 supports FLOAT, FLOAT16",
                 aclnnMaxPool, brain, two, none, 0, zero, none, 0, y);
  EXPECT_REFUSED(161002, "argument autoPad: got 1, expected 0", aclnnMaxPool, x, two, none, 1, zero,
                 none, 0, y);
}

}  // namespace
}  // namespace emulator_test
