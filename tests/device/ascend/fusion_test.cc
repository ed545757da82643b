// Which operators become one on the device, and that their buffers then allow it.
#include "device/ascend/fusion.h"

#include "device/ascend/ascend_device.h"
#include "device/buffer_plan.h"
#include "tests/device/program_under_test.h"

namespace lotse::ascend {
namespace {

class Fusing : public testing::Test {
 protected:
  std::vector<PreparedWeight> prepare(const Program& program, WeightFormat format) {
    std::vector<PreparedWeight> prepared;
    const std::vector<Weight> weights = random_weights(program, format, 3);
    for (size_t i = 0; i < weights.size(); ++i) {
      const WeightDecl& decl = program.weights[i];
      prepared.push_back(
          decl.role == WeightRole::vector
              ? prepare_vector(*queue_, decl, weights[i], AclType::bf16).value()
              : prepare_weight(*queue_, decl, weights[i], {AclType::bf16, true}).value());
    }
    return prepared;
  }

  // "norm_quant at layers.0.norm" of each.
  static std::vector<std::string> named(const Program& program, const Fusions& fusions) {
    const char* names[] = {"", "add_norm", "add_norm_quant", "norm_quant", "swiglu_quant"};
    std::vector<std::string> found;
    for (size_t i = 0; i < program.ops.size(); ++i) {
      if (fusions.at[i] == Fusion::none) continue;
      found.push_back(std::string(names[static_cast<size_t>(fusions.at[i])]) + " at " +
                      program.ops[i].name);
    }
    return found;
  }

  std::unique_ptr<Queue> queue_ = Queue::open(*Library::open().value(), 0).value();
};

// Norm, gated linears by silu, addition, norm, linear.
Program silu_program() {
  Ops ops;
  const ValueId x = ops.embed("embed", kVocabulary, kHidden, 1);
  ValueId h = ops.rms_norm("norm", x, ops.vector({"norm"}, kHidden), 1e-5f);
  h = ops.linear("gate_up", h, ops.matrix({"gate_up"}, 2 * kWidth, kHidden));
  h = ops.gated_activation(h, Activation::silu);
  h = ops.linear("down", h, ops.matrix({"down"}, kHidden, kWidth));
  h = ops.rms_norm("norm2", ops.add("add", x, h), ops.vector({"norm2"}, kHidden), 1e-5f);
  return ops.finish(
      ops.linear("head", ops.gather_rows(h), ops.matrix({"head"}, kVocabulary, kHidden)));
}

// The emulated chip has all of them; doubling a number in FP16 may overflow.
TEST_F(Fusing, AsksTheDeviceForItsOperators) {
  const Quantising bf16 = find_quantising(*queue_, AclType::bf16).value();
  EXPECT_TRUE(bf16.of_sum && bf16.of_norm && bf16.of_gated);
  const Quantising f16 = find_quantising(*queue_, AclType::f16).value();
  EXPECT_TRUE(f16.of_sum && !f16.of_norm && f16.of_gated);
  const Quantising f32 = find_quantising(*queue_, AclType::f32).value();
  EXPECT_FALSE(f32.of_sum || f32.of_norm || f32.of_gated);
}

using Names = std::vector<std::string>;

TEST_F(Fusing, QuantisesWhatOnlyInt8ProductsRead) {
  const Program program = silu_program();
  const auto weights = prepare(program, WeightFormat::w8a8);
  // norm2 is gathered, so it stays as it is.
  const Fusions all = find_fusions(program, weights, {true, true, true});
  EXPECT_EQ(named(program, all),
            (Names{"norm_quant at norm", "swiglu_quant at gate_up", "add_norm at add"}));
  EXPECT_EQ(std::ranges::count(all.is_quantised, true), 2);
  EXPECT_EQ(named(program, find_fusions(program, weights, {true, false, true})),
            (Names{"swiglu_quant at gate_up", "add_norm at add"}));
  EXPECT_EQ(named(program, find_fusions(program, weights, {true, true, false})),
            (Names{"norm_quant at norm", "add_norm at add"}));
  EXPECT_EQ(named(program, find_fusions(program, weights, {})), Names{"add_norm at add"});
}

TEST_F(Fusing, LeavesOtherFormatsActivationsAndReadersAlone) {
  const Program plain = silu_program();
  EXPECT_EQ(
      named(plain, find_fusions(plain, prepare(plain, WeightFormat::bf16), {true, true, true})),
      Names{"add_norm at add"});
  // Gelu in the first layer; experts, which quantise for themselves, in the second; the last sum is
  // not normed.
  const Program program = make_program();
  EXPECT_EQ(named(program,
                  find_fusions(program, prepare(program, WeightFormat::w8a8), {true, true, true})),
            (Names{"norm_quant at layers.0.norm", "add_norm_quant at layers.0.add",
                   "add_norm_quant at layers.0.add2", "add_norm at layers.1.add"}));
}

// A fused norm is written while what its addition reads is needed.
TEST_F(Fusing, NoNormIsPlannedOverItsAddends) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::w8a8}) {
    const Program program = make_program();
    const Fusions fusions = find_fusions(program, prepare(program, format), {true, true, true});
    const BufferPlan plan = plan_buffers(with_longer_lives(program, fusions), 64, 64);
    const auto overlap = [&](ValueId a, ValueId b) {
      const auto bytes = [&](ValueId id) { return 64 * program.values[at(id)].columns * 4; };
      return plan.offset[at(a)] < plan.offset[at(b)] + bytes(b) &&
             plan.offset[at(b)] < plan.offset[at(a)] + bytes(a);
    };
    int seen = 0;
    for (size_t i = 0; i < program.ops.size(); ++i) {
      if (fusions.at[i] != Fusion::add_norm && fusions.at[i] != Fusion::add_norm_quant) continue;
      const Add& add = std::get<Add>(program.ops[i].operation);
      const ValueId norm = output_of(program.ops[i + 1].operation);
      EXPECT_FALSE(overlap(norm, add.a) || overlap(norm, add.b) || overlap(norm, add.out));
      ++seen;
    }
    EXPECT_EQ(seen, 3);
  }
}

}  // namespace
}  // namespace lotse::ascend
