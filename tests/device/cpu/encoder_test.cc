// The operators of encoders on every instruction set against the reference device, and bit-equality
// of a text's rows whatever is beside it in the step.
#include <cstring>

#include "device/cpu/executable.h"
#include "device/reference/reference_device.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

constexpr int64_t kEncoderHeads = 5;
constexpr int64_t kOddDim = 10;
constexpr int64_t kOddWidth = kEncoderHeads * kOddDim;
constexpr int64_t kInner = 1100;  // more than one piece of an element-wise operator

Program encoder_program() {
  Ops ops;
  ValueId x = ops.embed("words", kVocabulary, kOddWidth, 1);
  x = ops.add("types", x, ops.embed_by("type", EmbedBy::nothing, 1, "types", 3, kOddWidth));
  x = ops.add("positions", x,
              ops.embed_by("position", EmbedBy::position, 2, "positions", 130, kOddWidth));
  const auto norm = [&](ValueId in) {
    return ops.layer_norm("norm", in, ops.vector({"w"}, kOddWidth), ops.vector({"b"}, kOddWidth),
                          1e-6f);
  };
  int layer = 0;
  for (const Activation activation :
       {Activation::gelu_erf, Activation::gelu_tanh, Activation::silu}) {
    ops.begin_layer(layer++);
    const ValueId qkv = ops.linear("qkv", norm(x), ops.matrix({"qkv"}, 3 * kOddWidth, kOddWidth));
    x = ops.add("add", x, ops.bidirectional_attention(qkv, kEncoderHeads, kOddDim, 0.7f));
    const ValueId wide = ops.linear("up", norm(x), ops.matrix({"up"}, kInner, kOddWidth),
                                    ops.vector({"up_bias"}, kInner));
    const ValueId inner = ops.activate(wide, activation);
    x = ops.add("add", x, ops.linear("down", inner, ops.matrix({"down"}, kOddWidth, kInner)));
  }
  ops.begin_layer(kNone);
  const ValueId hidden = ops.gather_rows(norm(x));
  return ops.finish(ops.linear("head", hidden, ops.matrix({"head"}, kVocabulary, kOddWidth)),
                    hidden);
}

std::vector<Prompt> texts() {
  Random random(9);
  std::vector<Prompt> all;
  for (const int64_t length : {100, 1, 23}) {
    all.push_back({{}, std::vector<int32_t>(8, 0)});
    for (int64_t i = 0; i < length; ++i) {
      all.back().tokens.push_back(static_cast<int32_t>(random.between(0, kVocabulary - 1)));
    }
  }
  return all;
}

class CpuEncoder : public KernelTest {
 protected:
  std::unique_ptr<Executable> load(int threads) const {
    const Program program = encoder_program();
    ExecutionLimits limits = limits_of(DType::bf16);
    limits.max_outputs = limits.max_tokens;
    return CpuExecutable::load(kernels(), std::make_shared<ThreadPool>(threads), program,
                               random_weights(program, WeightFormat::f32, 5), limits)
        .value();
  }
};
INSTANTIATE_TEST_SUITE_P(Isa, CpuEncoder, testing::ValuesIn(instruction_sets()), isa_name);

TEST_P(CpuEncoder, MatchesTheReferenceDevice) {
  const Program program = encoder_program();
  const auto reference =
      make_reference_device()
          ->load(program, random_weights(program, WeightFormat::f32, 5), limits_of(DType::f32))
          .value();
  const auto expected = run_all(*reference, texts(), 128);
  const auto executable = load(2);
  const auto actual = run_all(*executable, texts(), 128);
  for (size_t t = 0; t < expected.size(); ++t) {
    for (size_t i = 0; i < expected[t].size(); ++i) {
      ASSERT_TRUE(near(actual[t][i], expected[t][i], 1e-5, 1e-5)) << t << ' ' << i;
    }
  }
}

TEST_P(CpuEncoder, RowsDoNotDependOnTheBatch) {
  const std::vector<Prompt> all = texts();
  const auto together = run_all(*load(2), all, 128);
  for (size_t t = 0; t < all.size(); ++t) {
    const auto alone = run_all(*load(3), std::span(all).subspan(t, 1), 128);
    ASSERT_EQ(std::memcmp(alone[0].data(), together[t].data(), alone[0].size() * sizeof(float)), 0);
  }
}

}  // namespace
}  // namespace lotse::cpu
