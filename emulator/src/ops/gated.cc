// aclnnSwiGlu and aclnnGeGluV3.
#include "aclnnop/gated.h"

#include <cmath>
#include <numbers>

#include "ops/elementwise.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kGatedDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

float gelu(float x) {
  return 0.5f * x * (1.0f + std::erf(x * std::numbers::sqrt2_v<float> * 0.5f));
}

float gelu_by_tanh(float x) {
  constexpr float kScale = 0.797884561f;  // √(2/π)
  return 0.5f * x * (1.0f + std::tanh(kScale * (x + 0.044715f * x * x * x)));
}

// An input whose halves along `dim` have the shape of `out`.
struct Halves {
  Tensor x;
  int64_t dim, size;
  View first() const { return x.view().slice(dim, 0, size); }
  View second() const { return x.view().slice(dim, size, size); }
};

Halves halves_of(Op& op, const char* argument, const aclTensor* tensor, int64_t dim) {
  const Tensor x = op.in(argument, tensor, kGatedDtypes);
  op.expect_rank(x, 1, kMaxRank);
  const int64_t along = op.dim("dim", dim, x);
  op.require(x.size(along) % 2 == 0, "{}, whose dimension {} has no halves", x.text(), along);
  return {x, along, x.size(along) / 2};
}

Tensor output(Op& op, const char* argument, const aclTensor* tensor, const Halves& halves) {
  const Tensor out = op.out(argument, tensor, kGatedDtypes);
  Dims dims = halves.x.dims();
  dims[halves.dim] = halves.size;
  op.expect_shape(out, dims);
  op.expect_dtype(out, halves.x.dtype());
  return out;
}

}  // namespace

// clang-format off
ACLNN(aclnnSwiGlu, const aclTensor* x, int64_t dim, const aclTensor* out) {
  const Halves halves = halves_of(op, "x", x, dim);
  const Tensor y = output(op, "out", out, halves);
  op.compute([=] {
    map_elements<float>(std::array{halves.first(), halves.second()}, y.view(),
                        [](float gate, float value) { return silu(gate) * value; });
  });
} ACLNN_END
ACLNN(aclnnGeGluV3, const aclTensor* self, int64_t dim, int64_t approximate, bool activateLeft, aclTensor* out, aclTensor* outGelu) {
  const Halves halves = halves_of(op, "self", self, dim);
  const Tensor y = output(op, "out", out, halves), activated = output(op, "outGelu", outGelu, halves);
  op.require(approximate == 0 || approximate == 1, "argument approximate: got {}, expected 0 (erf) or 1 (tanh)", approximate);
  op.compute([=, f = approximate == 1 ? gelu_by_tanh : gelu] {
    const View gate = activateLeft ? halves.first() : halves.second();
    const View value = activateLeft ? halves.second() : halves.first();
    map_elements<float>(std::array{gate, value}, y.view(), [f](float g, float v) { return f(g) * v; });
    map_elements<float>(std::array{gate}, activated.view(), f);
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
