// Casts, copies and fills.
#include "ops/copy.h"

#include "aclnnop/elementwise.h"
#include "ops/elementwise.h"

namespace lotse::emulator {
namespace {

// `from` broadcasts to `to`.
void convert(Op& op, const Tensor& from, const Tensor& to) {
  op.require(op.broadcast(from, to) == to.dims(), "{}, which does not broadcast to {} {}",
             from.text(), to.argument(), to.desc().text());
  op.compute([=] { copy_elements(from.view().broadcast_to(to.dims()), to.view()); });
}

void fill(Op& op, const Tensor& to, const ScalarValue& value) {
  op.compute([=] { fill_elements(to.view(), value); });
}

}  // namespace

// Integers pass through int64_t, so that none loses bits; anything else through float or double.
void copy_elements(const View& from, const View& to) {
  map_elements<true>(arithmetic_of({from.dtype()}), std::array{from}, to, [](auto x) { return x; });
}

void fill_elements(const View& view, const ScalarValue& value) {
  map_elements<true>(arithmetic_of({value.dtype()}), std::array{view}, view,
                     [value](auto x) { return value.as<decltype(x)>(); });
}

// clang-format off
ACLNN(aclnnCast, const aclTensor* self, aclDataType dtype, aclTensor* out) {
  const Tensor x = op.in("self", self, kAnyDtype);
  const Tensor y = op.out("out", out, kAnyDtype);
  op.expect_dtype(y, dtype);
  op.expect_shape(y, x.dims());
  convert(op, x, y);
} ACLNN_END
ACLNN(aclnnInplaceCopy, aclTensor* selfRef, const aclTensor* src) {
  const Tensor to = op.out("selfRef", selfRef, kAnyDtype);
  convert(op, op.in("src", src, kAnyDtype), to);
} ACLNN_END
ACLNN(aclnnInplaceFillScalar, aclTensor* selfRef, const aclScalar* value) {
  fill(op, op.out("selfRef", selfRef, kAnyDtype), op.scalar("value", value));
} ACLNN_END
ACLNN(aclnnInplaceZero, aclTensor* selfRef) {
  fill(op, op.out("selfRef", selfRef, kAnyDtype), ScalarValue());
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
