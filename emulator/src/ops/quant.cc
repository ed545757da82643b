// aclnnDynamicQuant, aclnnDynamicQuantV2, aclnnAscendQuant, aclnnTransQuantParamV2.
#include "aclnnop/quant.h"

#include <bit>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "ops/int4.h"
#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/quant.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kQuantised = {ACL_INT8, ACL_INT4, ACL_INT32};

float most_of(aclDataType type) { return type == ACL_INT8 ? 127.0f : 7.0f; }

// The result, of the shape of x in elements of `type` (INT32: packed INT4).
Tensor quantised_out(Op& op, const char* argument, const aclTensor* tensor, const Tensor& x,
                     int64_t type) {
  op.require(type == ACL_INT8 || type == ACL_INT4 || type == ACL_INT32,
             "argument dstType: got {}, expected 2 (INT8), 29 (INT4) or 3 (INT4 in INT32)", type);
  const Tensor y = op.out(argument, tensor, kQuantised);
  op.expect_dtype(y, static_cast<aclDataType>(type));
  if (type == ACL_INT8) {
    op.expect_shape(y, x.dims());
    return y;
  }
  expect_packed(op, y);
  op.require(unpacked_dims(y) == x.dims(), "{}, expected {} elements of INT4", y.text(),
             text_of(x.dims()));
  op.require(x.dims().back() % 2 == 0, "{}, whose last dimension is odd, which INT4 cannot pack",
             x.text());
  return y;
}

struct RowScale {
  float scale = 0, offset = 0;
};

// q = x / scale + offset from the smallest to the largest number.
RowScale quantise_asymmetric(float* values, int64_t count, float most) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (int64_t i = 0; i < count; ++i) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  const float scale = (high - low) / (2 * most + 1);
  const float offset = most - high / scale;
  for (int64_t i = 0; i < count; ++i) {
    values[i] = whole_within(values[i] / scale + offset, -most - 1, most);
  }
  return {scale, offset};
}

struct DynamicQuant {
  Tensor x, smooth, groups, y, scale, offset;

  // Which row of `smooth` each row of x takes.
  std::vector<int64_t> group_of_rows(int64_t rows) const {
    std::vector<int64_t> result(static_cast<size_t>(rows), 0);
    if (!groups.present()) return result;
    const std::vector<int64_t> ends = read<int64_t>(groups.view());
    int64_t row = 0;
    for (int64_t group = 0; group < std::ssize(ends); ++group) {
      const int64_t end = ends[static_cast<size_t>(group)];
      if (end < row || end > rows) {
        fail(kVectorFault, "argument groupIndexOptional: it holds {} after {}, but x has {} rows",
             end, row, rows);
      }
      for (; row < end; ++row) result[static_cast<size_t>(row)] = group;
    }
    return result;
  }

  void run() const {
    const View from = x.view(), to = unpacked_view(y);
    const int64_t rows = from.rows(), length = from.row_length();
    if (from.count() == 0) return;
    const std::vector<int64_t> group = group_of_rows(rows);
    const std::vector<float> factors =
        smooth.present() ? read<float>(smooth.view()) : std::vector<float>();
    std::vector<float> scales(static_cast<size_t>(rows)), offsets(static_cast<size_t>(rows));
    // Packed rows of an odd count of bytes do not share one, since rows are even.
    parallel_for(rows, row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(length));
      for (int64_t row = begin; row < end; ++row) {
        const auto r = static_cast<size_t>(row);
        from.load_row(row, values.data());
        if (smooth.present()) {
          const float* factor = factors.data() + group[r] * length;
          for (int64_t i = 0; i < length; ++i) values[static_cast<size_t>(i)] *= factor[i];
        }
        if (offset.present()) {
          const RowScale result = quantise_asymmetric(values.data(), length, most_of(y.dtype()));
          scales[r] = result.scale;
          offsets[r] = result.offset;
        } else {
          scales[r] = quantise_symmetric(values.data(), length, most_of(y.dtype()));
        }
        to.store_row(row, values.data());
      }
    });
    write<float>(scale.view(), scales);
    if (offset.present()) write<float>(offset.view(), offsets);
  }
};

void dynamic_quant(Op& op, const aclTensor* x, const aclTensor* smooth, const aclTensor* groups,
                   int64_t type, const aclTensor* y, const aclTensor* scale,
                   const aclTensor* offset) {
  DynamicQuant quant;
  quant.x = op.in("x", x, kHalf);
  op.expect_rank(quant.x, 2, kMaxRank);
  quant.smooth = op.optional_in("smoothScalesOptional", smooth, kHalf);
  quant.groups = op.optional_in("groupIndexOptional", groups, {ACL_INT32});
  quant.y = quantised_out(op, "yOut", y, quant.x, type);
  quant.scale = op.out("scaleOut", scale, {ACL_FLOAT});
  quant.offset = op.optional_out("offsetOut", offset, {ACL_FLOAT});
  Dims rows = quant.x.dims();
  const int64_t length = rows.back();
  rows.erase(rows.size() - 1);
  op.expect_shape(quant.scale, rows);
  if (quant.offset.present()) op.expect_shape(quant.offset, rows);
  op.require(!quant.groups.present() || quant.smooth.present(),
             "argument groupIndexOptional: it needs smoothScalesOptional");
  if (quant.smooth.present()) {
    op.expect_dtype(quant.smooth, quant.x.dtype());
    Dims expected = {length};
    if (quant.groups.present()) {
      op.expect_rank(quant.groups, 1, 1);
      expected = {quant.groups.size(0), length};
    }
    op.expect_shape(quant.smooth, expected);
  }
  op.cost().vector_ops = 4 * static_cast<double>(quant.x.count());
  op.compute([=] { quant.run(); });
}

using Rounding = float (*)(float);

Rounding rounding_of(const Op& op, const char* mode) {
  if (mode == nullptr) fail(kNullArgument, "argument roundMode is null");
  const std::string_view name = mode;
  if (name == "round") return [](float x) { return std::nearbyint(x); };
  if (name == "floor") return [](float x) { return std::floor(x); };
  if (name == "ceil") return [](float x) { return std::ceil(x); };
  op.require(name == "trunc", "argument roundMode: got {}, expected round, floor, ceil or trunc",
             name);
  return [](float x) { return std::trunc(x); };
}

// One number, or one for each element of a row of `length`.
void expect_one_or_row(const Op& op, const Tensor& tensor, int64_t length) {
  op.require(tensor.count() == 1 || (tensor.count() == length && tensor.dims().back() == length),
             "{}, expected 1 or {} elements", tensor.text(), length);
}

std::vector<float> spread(const Tensor& tensor, int64_t length) {
  if (!tensor.present()) return std::vector<float>(static_cast<size_t>(length), 0);
  std::vector<float> values = read<float>(tensor.view());
  if (values.size() == 1) values.resize(static_cast<size_t>(length), values[0]);
  return values;
}

}  // namespace

float whole_within(float value, float least, float most) {
  const float whole = std::nearbyint(value);
  return whole < least ? least : (whole > most ? most : whole);
}

float quantise_symmetric(float* values, int64_t count, float most) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(values[i]);
    finite = finite && magnitude <= std::numeric_limits<float>::max();
    largest = magnitude > largest ? magnitude : largest;
  }
  const float inverse = most / largest;
  const bool vanishes = !(inverse <= std::numeric_limits<float>::max());
  if (!finite || vanishes) {
    for (int64_t i = 0; i < count; ++i) values[i] = 0;
    return finite ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  for (int64_t i = 0; i < count; ++i) values[i] = whole_within(values[i] * inverse, -most, most);
  return largest / most;
}

// clang-format off
ACLNN(aclnnDynamicQuant, const aclTensor* x, const aclTensor* smoothScalesOptional, const aclTensor* yOut, const aclTensor* scaleOut) {
  dynamic_quant(op, x, smoothScalesOptional, nullptr, ACL_INT8, yOut, scaleOut, nullptr);
} ACLNN_END
ACLNN(aclnnDynamicQuantV2, const aclTensor* x, const aclTensor* smoothScalesOptional, const aclTensor* groupIndexOptional, int64_t dstType, const aclTensor* yOut, const aclTensor* scaleOut, const aclTensor* offsetOut) {
  dynamic_quant(op, x, smoothScalesOptional, groupIndexOptional, dstType, yOut, scaleOut, offsetOut);
} ACLNN_END
ACLNN(aclnnAscendQuant, const aclTensor* x, const aclTensor* scale, const aclTensor* offset, bool sqrtMode, const char* roundMode, int32_t dstType, const aclTensor* y) {
  constexpr DtypeSet kTypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};
  const Tensor input = op.in("x", x, kTypes), scales = op.in("scale", scale, kTypes);
  const Tensor offsets = op.optional_in("offset", offset, kTypes);
  op.expect_rank(input, 1, kMaxRank);
  const int64_t length = input.dims().back();
  const Rounding rounding = rounding_of(op, roundMode);
  expect_one_or_row(op, scales, length);
  op.expect_dtype(scales, input.dtype());
  if (offsets.present()) {
    op.expect_shape(offsets, scales.dims());
    op.expect_dtype(offsets, input.dtype());
  }
  const Tensor out = quantised_out(op, "y", y, input, dstType);
  const float most = most_of(out.dtype());
  op.compute([=] {
    if (input.count() == 0) return;
    const View from = input.view(), to = unpacked_view(out);
    const std::vector<float> factors = spread(scales, length), shifts = spread(offsets, length);
    parallel_for(from.rows(), row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(length));
      for (int64_t row = begin; row < end; ++row) {
        from.load_row(row, values.data());
        for (size_t i = 0; i < values.size(); ++i) {
          const float scaled = values[i] * factors[i];
          values[i] = whole_within(rounding((sqrtMode ? scaled * factors[i] : scaled) + shifts[i]), -most - 1, most);
        }
        to.store_row(row, values.data());
      }
    });
  });
} ACLNN_END
ACLNN(aclnnTransQuantParamV2, const aclTensor* scale, const aclTensor* offset, const aclTensor* out) {
  const Tensor scales = op.in("scale", scale, {ACL_FLOAT}), offsets = op.optional_in("offset", offset, {ACL_FLOAT});
  const Tensor y = op.out("out", out, {ACL_UINT64, ACL_INT64});
  op.expect_rank(scales, 1, 2);
  const int64_t count = offsets.present() ? std::max(scales.count(), offsets.count()) : scales.count();
  expect_one_or_row(op, scales, count);
  if (offsets.present()) expect_one_or_row(op, offsets, count);
  op.require(y.count() == count, "{}, expected {} elements", y.text(), count);
  op.compute([=] {
    const std::vector<float> factors = spread(scales, count), shifts = spread(offsets, count);
    std::vector<int64_t> packed;
    for (size_t i = 0; i < factors.size(); ++i) {
      const float whole = whole_within(shifts[i], -256, 255);
      packed.push_back(pack_scale(factors[i], static_cast<int64_t>(whole)));
    }
    write<int64_t>(y.view(), packed);
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
