// Mixtures of experts by grouped products, in every weight format, against the reference device.
#include "device/ascend/ascend_device.h"
#include "device/reference/reference_device.h"
#include "tests/device/ascend/exact_mode.h"
#include "tests/device/program_under_test.h"
#include "tests/golden/golden.h"

namespace lotse {
namespace {

constexpr int64_t kColumns = 128;
constexpr int64_t kInner = 64;
constexpr int64_t kGroup = 64;

struct MoeCase {
  WeightFormat gate_up;
  WeightFormat down;
  Activation activation;
  bool normalise;
};

Program moe_program(const MoeCase& c) {
  Ops ops;
  ValueId x = ops.embed("embed", kVocabulary, kColumns, 1);
  x = ops.moe(x, {ops.matrix({"router"}, kExperts, kColumns),
                  ops.experts({"gate_up"}, kExperts, 2 * kInner, kColumns),
                  ops.experts({"down"}, kExperts, kColumns, kInner), kExperts, 3, kInner,
                  c.normalise, c.activation});
  return ops.finish(
      ops.linear("head", ops.gather_rows(x), ops.matrix({"head"}, kVocabulary, kColumns)));
}

WeightPart int4_part(int64_t rows, int64_t columns, Random& random) {
  std::vector<uint8_t> values(at(rows * columns / 2));
  for (uint8_t& v : values) v = static_cast<uint8_t>(random.between(0, 255));
  std::vector<float> scales(at(rows * (columns / kGroup)));
  for (float& s : scales) {
    s = round_to_bf16(0.2f * static_cast<float>(random.between(1, 4)) /
                      std::sqrt(static_cast<float>(columns)));
  }
  return {WeightFormat::w4a16,
          rows,
          columns,
          make_tensor(DType::i4, {rows, columns}, std::move(values)),
          make_tensor(DType::f32, {rows, columns / kGroup}, std::move(scales)),
          kGroup};
}

// Experts in two parts each, as gate and up come from checkpoints; all else in bf16, or f32 when
// the experts are.
std::vector<Weight> moe_weights(const Program& program, const MoeCase& c) {
  Random random(11);
  std::vector<Weight> weights;
  for (const WeightDecl& decl : program.weights) {
    const bool is_plain = decl.experts == 1;
    const bool is_f32 = c.gate_up == WeightFormat::f32 || decl.sources[0] == "router";
    const WeightFormat format = is_plain ? (is_f32 ? WeightFormat::f32 : WeightFormat::bf16)
                                : decl.sources[0] == "down" ? c.down
                                                            : c.gate_up;
    const int64_t rows = decl.rows / decl.experts / (is_plain ? 1 : 2);
    const float deviation = 1 / std::sqrt(static_cast<float>(decl.columns));
    Weight weight;
    for (int64_t part = 0; part < (is_plain ? 1 : 2 * decl.experts); ++part) {
      switch (format) {
        case WeightFormat::f32:
          weight.parts.push_back(float_part(rows, decl.columns, deviation, random));
          break;
        case WeightFormat::w8a8:
          weight.parts.push_back(int8_part(rows, decl.columns, random));
          break;
        case WeightFormat::w4a16:
          weight.parts.push_back(int4_part(rows, decl.columns, random));
          break;
        default:
          weight.parts.push_back(bf16_part(rows, decl.columns, deviation, random));
      }
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

class AscendMoe : public testing::TestWithParam<MoeCase> {};

std::vector<std::vector<float>> run_moe(Device& device, const MoeCase& c) {
  const Program program = moe_program(c);
  ExecutionLimits limits = limits_of(DType::bf16);
  limits.max_outputs = limits.max_tokens;
  const auto executable = device.load(program, moe_weights(program, c), limits);
  EXPECT_TRUE(executable) << executable.error().message;
  return run_all(**executable, random_prompts(7), 64);
}

TEST_P(AscendMoe, MatchesTheReferenceDevice) {
  const auto expected = run_moe(*make_reference_device(), GetParam());
  const auto actual = run_moe(*make_ascend_device(0).value(), GetParam());
  const bool is_exact = GetParam().gate_up == WeightFormat::f32;
  for (size_t p = 0; p < expected.size(); ++p) {
    EXPECT_LT(relative_rms(actual[p], expected[p]), is_exact ? 1e-5 : 2e-2) << p;
  }
}

// A few numbers may be rounded the other way between the two products.
TEST_P(AscendMoe, MatchesTheReferenceDeviceInExactMode) {
  const ExactMode exact;
  const auto expected = run_moe(*make_reference_device(), GetParam());
  const auto actual = run_moe(*make_ascend_device(0).value(), GetParam());
  for (size_t p = 0; p < expected.size(); ++p) {
    EXPECT_LT(relative_rms(actual[p], expected[p]), 1e-3) << p;
  }
}

constexpr auto kF32 = WeightFormat::f32;
constexpr auto kBf16 = WeightFormat::bf16;
constexpr auto kW8 = WeightFormat::w8a8;
constexpr auto kW4 = WeightFormat::w4a16;

INSTANTIATE_TEST_SUITE_P(Formats, AscendMoe,
                         testing::Values(MoeCase{kF32, kF32, Activation::silu, true},
                                         MoeCase{kF32, kF32, Activation::gelu_tanh, false},
                                         MoeCase{kBf16, kBf16, Activation::silu, true},
                                         MoeCase{kW8, kW8, Activation::silu, false},
                                         MoeCase{kW4, kW4, Activation::silu, true},
                                         MoeCase{kW8, kBf16, Activation::silu, true},
                                         MoeCase{kW4, kW8, Activation::silu, true}),
                         [](const auto& instance) {
                           const MoeCase& c = instance.param;
                           return std::string(name(c.gate_up)) + "_" + std::string(name(c.down)) +
                                  (c.activation == Activation::silu ? "_silu" : "_gelu");
                         });

// Experts in several formats do not fit one grouped product.
TEST(AscendMoe, RefusesExpertsInSeveralFormats) {
  const MoeCase plain{kBf16, kBf16, Activation::silu, true};
  const Program program = moe_program(plain);
  auto weights = moe_weights(program, plain);
  Random random(3);
  weights[2].parts[3] = int8_part(kInner, kColumns, random);
  const auto executable =
      make_ascend_device(0).value()->load(program, weights, limits_of(DType::bf16));
  ASSERT_FALSE(executable);
  EXPECT_NE(executable.error().message.find("one format for all"), std::string::npos)
      << executable.error().message;
}

}  // namespace
}  // namespace lotse
