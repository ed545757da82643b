// Ranges, and values written under an index or a mask.
#include "aclnnop/fill.h"

#include <cmath>
#include <vector>

#include "ops/copy.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// How many steps lead from start to before the end.
template <class T>
double count_steps(const ScalarValue& start, const ScalarValue& end, const ScalarValue& step) {
  return static_cast<double>(std::ceil((end.as<T>() - start.as<T>()) / step.as<T>()));
}

}  // namespace

// clang-format off
// Callers count the steps in FP32 or FP64, which may differ by one: both are taken.
ACLNN(aclnnArange, const aclScalar* start, const aclScalar* end, const aclScalar* step, aclTensor* out) {
  const ScalarValue first = op.scalar("start", start), last = op.scalar("end", end), by = op.scalar("step", step);
  const Tensor y = op.out("out", out, kNumeric);
  op.require(by.as<double>() != 0, "argument step is 0");
  const double steps = count_steps<double>(first, last, by);
  const auto count = static_cast<double>(y.count());
  op.require(count == steps || count == count_steps<float>(first, last, by),
             "{}, but from {} to {} by {} there are {} numbers", y.text(), first.as<double>(),
             last.as<double>(), by.as<double>(), std::max(steps, 0.0));
  const bool real = is_floating(first.dtype()) || is_floating(by.dtype());
  op.compute([=] {
    if (!real) {
      std::vector<int64_t> values(static_cast<size_t>(y.count()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = first.as<int64_t>() + static_cast<int64_t>(i) * by.as<int64_t>();
      return write<int64_t>(y.view(), values);
    }
    std::vector<double> values(static_cast<size_t>(y.count()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = first.as<double>() + static_cast<double>(i) * by.as<double>();
    write<double>(y.view(), values);
  });
} ACLNN_END

ACLNN(aclnnInplaceIndexFillTensor, aclTensor* selfRef, int64_t dim, const aclIntArray* index, const aclScalar* value) {
  const Tensor x = op.in_out("selfRef", selfRef, kAnyDtype);
  op.expect_rank(x, 1, kMaxRank);
  const int64_t along = op.dim("dim", dim, x), size = x.size(along);
  auto indices = op.ints("index", index);
  const ScalarValue filler = op.scalar("value", value);
  for (int64_t& i : indices) {
    op.require(i >= -size && i < size, "argument index: {} is outside of dimension {} of {}", i, along, x.desc().text());
    if (i < 0) i += size;
  }
  op.compute([=] {
    for (const int64_t i : indices) fill_elements(x.view().slice(along, i, 1), filler);
  });
} ACLNN_END

ACLNN(aclnnInplaceMaskedFillScalar, aclTensor* selfRef, const aclTensor* mask, const aclScalar* value) {
  const Tensor x = op.in_out("selfRef", selfRef, kNumeric | kBool);
  const Tensor m = op.in("mask", mask, kBool);
  const ScalarValue filler = op.scalar("value", value);
  op.require(op.broadcast(x, m) == x.dims(), "{}, which does not broadcast to selfRef {}", m.text(), x.desc().text());
  op.compute([=] {
    map_elements<true>(arithmetic_of({x.dtype()}), std::array{x.view(), m.view().broadcast_to(x.dims())}, x.view(),
                       [filler](auto v, auto masked) { return masked != 0 ? filler.as<decltype(v)>() : v; });
  });
} ACLNN_END

ACLNN(aclnnSWhere, const aclTensor* condition, const aclTensor* self, const aclTensor* other, aclTensor* out) {
  const Tensor c = op.in("condition", condition, kBool | DtypeSet{ACL_UINT8});
  const Tensor x = op.in("self", self, kNumeric | kBool), y = op.in("other", other, kNumeric | kBool);
  const aclDataType type = promoted(x.dtype(), y.dtype());
  const Tensor z = op.out("out", out, {type});
  // All three broadcast: each pair does, and together they give the shape.
  op.broadcast(c, x);
  op.broadcast(c, y);
  Dims dims = op.broadcast(x, y);
  while (dims.size() < c.rank()) dims.insert(0, 1);
  for (int64_t i = 1; i <= c.rank(); ++i) {
    int64_t& size = dims[dims.size() - i];
    if (size == 1) size = c.size(c.rank() - i);
  }
  op.expect_shape(z, dims);
  op.compute([=] {
    const std::array inputs = {c.view().broadcast_to(dims), x.view().broadcast_to(dims), y.view().broadcast_to(dims)};
    map_elements<true>(arithmetic_of({type}), inputs, z.view(),
                       [](auto chosen, auto a, auto b) { return chosen != 0 ? a : b; });
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
