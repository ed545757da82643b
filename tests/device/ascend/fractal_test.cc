// Weights in FRACTAL_NZ give the results of row-major ones, bit by bit.
#include <cstdlib>

#include "device/ascend/ascend_device.h"
#include "device/ascend/fractal.h"
#include "device/ascend/prepared_weight.h"
#include "tests/device/program_under_test.h"

namespace lotse {
namespace {

// Row-major weights while it lives.
class RowMajorWeights {
 public:
  RowMajorWeights() { ::setenv("LOTSE_ASCEND_WEIGHTS", "nd", 1); }
  ~RowMajorWeights() { ::unsetenv("LOTSE_ASCEND_WEIGHTS"); }
};

struct Case {
  const char* name;
  WeightFormat format;
  int64_t rows;
  int64_t columns;
  int64_t group;
  bool is_fractal;  // as expected of the shape
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

WeightPart int4_part(const Case& c, Random& random) {
  std::vector<uint8_t> bytes(at(c.rows * c.columns / 2));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.between(0, 255));
  const int64_t groups = c.columns / c.group;
  std::vector<float> scales(at(c.rows * groups));
  for (float& scale : scales) scale = 0.01f + 0.01f * static_cast<float>(random.between(0, 9));
  return {c.format,
          c.rows,
          c.columns,
          make_tensor(DType::i4, {c.rows, c.columns}, std::move(bytes)),
          make_tensor(DType::f32, {c.rows, groups}, std::move(scales)),
          c.group};
}

WeightPart part_of(const Case& c, Random& random) {
  switch (c.format) {
    case WeightFormat::w8a8:
      return int8_part(c.rows, c.columns, random);
    case WeightFormat::w4a16:
      return int4_part(c, random);
    default:
      return bf16_part(c.rows, c.columns, 1, random);
  }
}

Program one_linear(const Case& c) {
  Ops ops;
  const ValueId x = ops.embed("embed", kVocabulary, c.columns, 1);
  return ops.finish(
      ops.linear("head", ops.gather_rows(x), ops.matrix({"head"}, c.rows, c.columns)));
}

class FractalWeights : public testing::TestWithParam<Case> {
 protected:
  // The weight in two parts, as a concatenation of two tensors.
  static std::vector<Weight> weights() {
    const Case& c = GetParam();
    Random random(7);
    std::vector<Weight> made(2);
    made[0].parts = {bf16_part(kVocabulary, c.columns, 1, random)};
    Case first = c;
    first.rows = c.rows / 16 * 8;
    Case second = c;
    second.rows = c.rows - first.rows;
    if (first.rows > 0) made[1].parts.push_back(part_of(first, random));
    made[1].parts.push_back(part_of(second, random));
    return made;
  }

  std::vector<float> run() {
    const Program program = one_linear(GetParam());
    ExecutionLimits limits = limits_of(DType::bf16);
    limits.max_outputs = limits.max_tokens;
    const auto executable = device_->load(program, weights(), limits);
    EXPECT_TRUE(executable) << executable.error().message;
    std::vector<int32_t> tokens(5);
    std::iota(tokens.begin(), tokens.end(), 0);
    const std::vector<int32_t> blocks = {0, 1, 2, 3, 4, 5, 6};
    const BatchSequence sequence{0, 5, 5, blocks};
    const auto logits = (*executable)->run({tokens, tokens, {&sequence, 1}, tokens});
    if (!logits) ADD_FAILURE() << logits.error().message;
    return logits ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
  }

  std::unique_ptr<Device> device_ = make_ascend_device(0).value();
};

TEST_P(FractalWeights, AreBitEqualToRowMajorOnes) {
  const std::vector<float> fractal = run();
  const RowMajorWeights row_major;
  ASSERT_FALSE(fractal.empty());
  EXPECT_EQ(fractal, run());
}

TEST_P(FractalWeights, AreMadeWhereTheShapeAllowsIt) {
  const Case& c = GetParam();
  const auto queue = ascend::Queue::open(*ascend::Library::open().value(), 0).value();
  WeightDecl decl{{"head"}, WeightRole::matrix, c.rows, c.columns};
  const ascend::Preparation preparation{ascend::AclType::bf16, ascend::prefers_fractal_nz(true)};
  const auto prepared = ascend::prepare_weight(*queue, decl, weights()[1], preparation);
  ASSERT_TRUE(prepared) << prepared.error().message;
  int64_t rows = 0;
  for (const ascend::Segment& segment : prepared->segments) {
    EXPECT_EQ(segment.is_fractal(), c.is_fractal);
    if (c.is_fractal && c.format != WeightFormat::bf16) {
      EXPECT_LE(segment.rows, ascend::kMaxQuantisedRows);
    }
    rows += segment.rows;
  }
  EXPECT_EQ(rows, c.rows);
  // What is looked up or taken by rows stays row-major.
  for (const WeightRole role : {WeightRole::table, WeightRole::experts}) {
    decl.role = role;
    const auto kept = ascend::prepare_weight(*queue, decl, weights()[1], preparation);
    EXPECT_FALSE(kept->segments.front().is_fractal());
  }
  EXPECT_FALSE(ascend::prefers_fractal_nz(false));
}

// What was brought to be converted is gone once the weights are made.
TEST(AscendWeights, AreHeldOnce) {
  const auto free = [] { return list_ascend_devices()->front().free_bytes; };
  const auto device = make_ascend_device(0).value();
  const Case c{"w8a8", WeightFormat::w8a8, 2048, 2048, 0, true};
  const Program program = one_linear(c);
  Random random(1);
  std::vector<Weight> weights(2);
  weights[0].parts = {bf16_part(kVocabulary, c.columns, 1, random)};
  weights[1].parts = {part_of(c, random)};
  const int64_t before = free();
  const auto executable = device->load(program, weights, limits_of(DType::bf16)).value();
  const Executable::Memory memory = executable->memory();
  EXPECT_GE(memory.weights, c.rows * c.columns + kVocabulary * c.columns * 2);
  // Within what allocations are rounded up to.
  EXPECT_LE(before - free(), memory.weights + memory.cache + memory.working + (1 << 20));
}

TEST(AscendLibrary, DoesWithoutOptionalOperators) {
  ascend::Symbols none({});
  const ascend::Operator<> optional{none, "aclnnNone", ascend::Presence::optional};
  EXPECT_FALSE(optional.exists());
  EXPECT_TRUE(none.missing().empty());
  const ascend::Operator<> required{none, "aclnnNone"};
  EXPECT_EQ(none.missing().size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FractalWeights,
    testing::Values(Case{"bf16", WeightFormat::bf16, 97, 80, 0, true},
                    Case{"bf16_aligned", WeightFormat::bf16, 64, 256, 0, true},
                    Case{"bf16_one_row", WeightFormat::bf16, 1, 80, 0, false},
                    Case{"w8a8", WeightFormat::w8a8, 97, 80, 0, true},
                    Case{"w8a8_odd", WeightFormat::w8a8, 333, 1031, 0, true},
                    Case{"w8a8_beyond_one_product", WeightFormat::w8a8, 65'537, 32, 0, true},
                    Case{"w4a16", WeightFormat::w4a16, 192, 256, 64, true},
                    Case{"w4a16_group_128", WeightFormat::w4a16, 64, 384, 128, true},
                    Case{"w4a16_beyond_one_product", WeightFormat::w4a16, 65'536, 128, 64, true},
                    Case{"w4a16_group_32", WeightFormat::w4a16, 64, 128, 32, false},
                    Case{"w4a16_rows_not_by_64", WeightFormat::w4a16, 72, 128, 64, false},
                    Case{"w4a16_one_group", WeightFormat::w4a16, 64, 64, 64, false}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace lotse
