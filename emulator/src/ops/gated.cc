// aclnnSwiGlu, aclnnGeGluV3 and aclnnDequantSwigluQuant.
#include "aclnnop/gated.h"

#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "ops/elementwise.h"
#include "ops/parallel.h"
#include "ops/quant.h"
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

std::vector<float> optional_values(const Tensor& tensor) {
  return tensor.present() ? read<float>(tensor.view()) : std::vector<float>();
}

// y = quantised silu(one half) · other half of x · weight scale · token scale + bias.
struct DequantSwigluQuant {
  Tensor x, weight_scale, token_scale, bias, smooth, y, scale;
  bool left = true;  // silu of the first half

  void run() const {
    const View from = x.view(), to = y.view();
    const int64_t rows = from.rows(), length = from.row_length(), half = length / 2;
    if (from.count() == 0) return;
    const std::vector<float> columns = optional_values(weight_scale);
    const std::vector<float> tokens = optional_values(token_scale);
    const std::vector<float> biases = optional_values(bias), factors = optional_values(smooth);
    const bool whole = bias.present() && bias.dtype() == ACL_INT32;
    std::vector<float> scales(static_cast<size_t>(rows));
    parallel_for(rows, row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> in(static_cast<size_t>(length)), out(static_cast<size_t>(half));
      for (int64_t row = begin; row < end; ++row) {
        const auto r = static_cast<size_t>(row);
        from.load_row(row, in.data());
        for (size_t i = 0; i < in.size(); ++i) {
          if (whole) in[i] += biases[i];
          if (!columns.empty()) in[i] *= columns[i];
          if (!tokens.empty()) in[i] *= tokens[r];
          if (!whole && !biases.empty()) in[i] += biases[i];
        }
        for (size_t i = 0; i < out.size(); ++i) {
          const float a = in[i], b = in[i + out.size()];
          out[i] = left ? silu(a) * b : silu(b) * a;
          if (!factors.empty()) out[i] *= factors[factors.size() == 1 ? 0 : i];
        }
        scales[r] = quantise_symmetric(out.data(), half, 127);
        to.store_row(row, out.data());
      }
    });
    write<float>(scale.view(), scales);
  }
};

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
ACLNN(aclnnDequantSwigluQuant, const aclTensor* x, const aclTensor* weightScaleOptional, const aclTensor* activationScaleOptional, const aclTensor* biasOptional, const aclTensor* quantScaleOptional, const aclTensor* quantOffsetOptional, const aclTensor* groupIndexOptional, bool activateLeft, char* quantModeOptional, const aclTensor* yOut, const aclTensor* scaleOut) {
  op.require(soc().dtypes.contains(ACL_BF16), "{} has no such operator", soc().name);
  DequantSwigluQuant q;
  q.x = op.in("x", x, {ACL_INT32, ACL_FLOAT16, ACL_BF16});
  q.weight_scale = op.optional_in("weightScaleOptional", weightScaleOptional, {ACL_FLOAT});
  q.token_scale = op.optional_in("activationScaleOptional", activationScaleOptional, {ACL_FLOAT});
  q.bias = op.optional_in("biasOptional", biasOptional, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32});
  q.smooth = op.optional_in("quantScaleOptional", quantScaleOptional, {ACL_FLOAT, ACL_FLOAT16, ACL_BF16});
  q.y = op.out("yOut", yOut, {ACL_INT8});
  q.scale = op.out("scaleOut", scaleOut, {ACL_FLOAT});
  q.left = activateLeft;
  op.require(quantModeOptional != nullptr && std::string_view(quantModeOptional) == "dynamic", "argument quantModeOptional: got {}, but the emulator has dynamic only", quantModeOptional == nullptr ? "null" : quantModeOptional);
  op.require(quantOffsetOptional == nullptr && groupIndexOptional == nullptr, "arguments quantOffsetOptional and groupIndexOptional: the emulator takes none");
  op.expect_rank(q.x, 2, kMaxRank);
  const int64_t length = q.x.dims().back();
  op.require(length % 2 == 0, "{}, whose last dimension has no halves", q.x.text());
  Dims rows = q.x.dims();
  rows.erase(rows.size() - 1);
  Dims dims = rows;
  dims.push_back(length / 2);
  op.expect_shape(q.y, dims);
  op.expect_shape(q.scale, rows);
  const bool sums = q.x.dtype() == ACL_INT32;
  op.require(sums == q.weight_scale.present() && (sums || !q.token_scale.present()), "{}: scales of weights go with INT32 and with nothing else", q.x.text());
  for (const Tensor& tensor : {q.weight_scale, q.bias}) {
    if (tensor.present()) op.expect_shape(tensor, {length});
  }
  if (q.token_scale.present()) {
    op.require(q.token_scale.count() == rows.product(), "{}, expected {} elements, one a row", q.token_scale.text(), rows.product());
  }
  if (q.smooth.present()) {
    op.require(q.smooth.count() == 1 || q.smooth.count() == length / 2, "{}, expected 1 or {} elements", q.smooth.text(), length / 2);
  }
  op.cost().vector_ops = 8 * static_cast<double>(q.x.count());
  op.compute([q] { q.run(); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
