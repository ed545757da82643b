// Exact mode: products of equal inputs are those of docs/numerics.md, whatever the weights are.
#include "device/ascend/exact.h"

#include <fmt/format.h>

#include "device/ascend/ascend_device.h"
#include "device/cpu/cpu_device.h"
#include "device/reference/reference_device.h"
#include "engine/engine.h"
#include "tests/device/ascend/choices.h"
#include "tests/device/ascend/exact_mode.h"
#include "tests/device/program_under_test.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

// A table of rows, and one linear of them with a bias.
Program linear_of_rows(int64_t table_rows, int64_t rows, int64_t columns) {
  Ops ops;
  const ValueId x = ops.embed("embed", table_rows, columns, 1);
  const WeightId head = ops.matrix({"head"}, rows, columns);
  const WeightId bias = ops.vector({"bias"}, rows);
  return ops.finish(ops.linear("head", ops.gather_rows(x), head, bias));
}

std::vector<float> run_rows(Device& device, const Program& program, std::vector<Weight> weights) {
  const auto rows = static_cast<int32_t>(program.weights[0].rows);
  ExecutionLimits limits = limits_of(DType::bf16);
  limits.max_outputs = limits.max_tokens;
  const auto executable = device.load(program, std::move(weights), limits);
  EXPECT_TRUE(executable) << executable.error().message;
  if (!executable) return {};
  std::vector<int32_t> tokens(at(rows));
  std::iota(tokens.begin(), tokens.end(), 0);
  const std::vector<int32_t> blocks = {0, 1, 2, 3, 4, 5, 6, 7};
  const BatchSequence sequence{0, rows, rows, blocks};
  const auto logits = (*executable)->run({tokens, tokens, {&sequence, 1}, tokens});
  EXPECT_TRUE(logits) << logits.error().message;
  return {logits->begin(), logits->end()};
}

std::vector<float> run_exactly(const Program& program, std::vector<Weight> weights) {
  const ExactMode exact;
  return run_rows(*make_ascend_device(0).value(), program, std::move(weights));
}

constexpr size_t kTinyRow = 1;  // whose inverse overflows

// Rows of very different sizes, and rows where quantising is a matter of care.
std::vector<float> hard_rows(int64_t rows, int64_t columns, Random& random) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = random.normals(columns, std::ldexp(1.0f, static_cast<int>(r % 40) - 20));
    values.insert(values.end(), row.begin(), row.end());
  }
  const auto set = [&](int64_t row, auto value) {
    for (int64_t c = 0; c < columns; ++c) values[at(row * columns + c)] = value(c);
  };
  const float least = 127 / std::numeric_limits<float>::max();
  set(0, [](int64_t) { return 0.0f; });
  set(kTinyRow, [](int64_t c) { return c % 2 == 0 ? 1e-38f : -1e-38f; });
  set(2, [&](int64_t c) { return c == 3 ? 8 * least : -2 * least; });  // it just does not
  set(3, [](int64_t c) { return c == 0 ? 127.0f : 0.5f + static_cast<float>(c % 9); });  // ties
  set(4, [](int64_t c) { return c == 0 ? -127.0f : -0.5f - static_cast<float>(c % 7); });
  values[at(5 * columns + columns / 2)] = std::numeric_limits<float>::infinity();
  values[at(6 * columns)] = -std::numeric_limits<float>::infinity();
  values[at(7 * columns + columns - 1)] = std::numeric_limits<float>::quiet_NaN();
  values[at(8 * columns + 1)] = 3e38f;
  return values;
}

struct Sides {
  int64_t rows;
  int64_t columns;
};

class ExactInt8 : public testing::TestWithParam<Sides> {};

TEST_P(ExactInt8, IsBitEqualToTheCpuDevices) {
  const auto [rows, columns] = GetParam();
  const Program program = linear_of_rows(kVocabulary, rows, columns);
  const auto weights = [&] {
    Random random(7);
    std::vector<Weight> made(3);
    auto table =
        make_tensor(DType::f32, {kVocabulary, columns}, hard_rows(kVocabulary, columns, random));
    made[0].parts = {{WeightFormat::f32, kVocabulary, columns, std::move(table), {}}};
    made[1].parts = {int8_part(rows, columns, random)};
    made[2].parts = {float_part(1, rows, 0, random)};
    return made;
  };
  const auto expected = run_rows(*make_cpu_device(1).value(), program, weights());
  const auto actual = run_exactly(program, weights());
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i]) && !std::isfinite(actual[i])) continue;
    const bool is_tiny = i / at(rows) == kTinyRow;
    if (is_tiny && std::abs(actual[i] - expected[i]) < 1e-30f) continue;
    ASSERT_EQ(actual[i], expected[i]) << "token " << i / at(rows) << " row " << i % at(rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ExactInt8,
                         testing::Values(Sides{1, 32}, Sides{7, 33}, Sides{64, 64}, Sides{129, 255},
                                         Sides{300, 1024}, Sides{97, 4097}),
                         [](const auto& instance) {
                           return std::to_string(instance.param.rows) + "x" +
                                  std::to_string(instance.param.columns);
                         });

WeightPart part_of(WeightFormat format, int64_t rows, int64_t columns, Random& random) {
  switch (format) {
    case WeightFormat::f32:
      return float_part(rows, columns, 1, random);
    case WeightFormat::f16: {
      std::vector<uint16_t> values;
      for (const float v : random.normals(rows * columns)) values.push_back(float_to_fp16(v));
      return {
          format, rows, columns, make_tensor(DType::f16, {rows, columns}, std::move(values)), {}};
    }
    case WeightFormat::bf16:
      return bf16_part(rows, columns, 1, random);
    case WeightFormat::w8a8:
      return int8_part(rows, columns, random);
    default:
      break;
  }
  // INT4 in groups of 32, of which the last is not whole where columns are not a multiple.
  constexpr int64_t kGroup = 32;
  std::vector<uint8_t> nibbles(at(rows * ceil_div(columns, 2)));
  for (uint8_t& v : nibbles) v = static_cast<uint8_t>(random.between(0, 255));
  const int64_t groups = ceil_div(columns, kGroup);
  std::vector<float> scales;
  for (const float v : random.normals(rows * groups)) scales.push_back(std::abs(v));
  return {format,
          rows,
          columns,
          make_tensor(DType::i4, {rows, columns}, std::move(nibbles)),
          make_tensor(DType::f32, {rows, groups}, std::move(scales)),
          kGroup};
}

class ExactFormat : public testing::TestWithParam<WeightFormat> {};

// The products are the same numbers; the order of their sum is the device's.
TEST_P(ExactFormat, DepartsByTheOrderOfSumsOnly) {
  constexpr int64_t kRows = 77;
  constexpr int64_t kColumns = 352;
  const Program program = linear_of_rows(kVocabulary, kRows, kColumns);
  const auto weights = [&] {
    Random random(5);
    std::vector<Weight> made(3);
    made[0].parts = {float_part(kVocabulary, kColumns, 1, random)};
    made[1].parts = {part_of(GetParam(), kRows - 30, kColumns, random),
                     part_of(GetParam(), 30, kColumns, random)};
    made[2].parts = {float_part(1, kRows, 1, random)};
    return made;
  };
  const auto expected = run_rows(*make_reference_device(), program, weights());
  EXPECT_LT(relative_rms(run_exactly(program, weights()), expected), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Formats, ExactFormat,
                         testing::Values(WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16,
                                         WeightFormat::w8a8, WeightFormat::w4a16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

// A trained model: logits of text that it was not trained on.
class ExactNano : public testing::TestWithParam<WeightFormat> {};

TEST_P(ExactNano, LogitsAreTheCpuDevices) {
  constexpr int64_t kTokens = 384;
  const ScratchFolder scratch;
  PortRequest request;
  request.model = fs::path(LOTSE_SOURCE_DIR) / "models" / "lotse-nano";
  request.out = scratch.path() / "ported";
  request.options.quant = GetParam();
  const auto ported = port_model(request, load_chip("ascend-910b3").value());
  ASSERT_TRUE(ported) << ported.error().message;
  const auto engine = Engine::open(request.out, {.threads = 1}).value();
  std::vector<int32_t> tokens = engine->tokenizer()
                                    ->encode(read_bytes(request.model / "eval.txt"),
                                             {.add_bos_eos = false, .parse_special = true})
                                    .value();
  tokens.resize(kTokens);
  const Model model = load_model(open_checkpoint(request.out).value()).value();
  const auto cpu = make_cpu_device(1).value();
  const auto ascend = make_ascend_device(0).value();
  const ExactMode exact;
  Runner on_cpu(*cpu, model, DType::bf16, kTokens);
  Runner on_ascend(*ascend, model, DType::bf16, kTokens, 128);
  const auto expected = on_cpu.step(tokens);
  const auto actual = on_ascend.step(tokens);
  const double departure = relative_rms(actual, expected);
  RecordProperty("departure", fmt::format("{:.2e}", departure));
  EXPECT_LT(departure, 1e-2);
  RecordProperty("clear_choices",
                 expect_same_choices(actual, expected, model.config.vocabulary, 1e-2));
}

INSTANTIATE_TEST_SUITE_P(Formats, ExactNano,
                         testing::Values(WeightFormat::bf16, WeightFormat::w8a8,
                                         WeightFormat::w4a16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

TEST(ExactMode, RefusesW4A8) {
  const Program program = linear_of_rows(4, 32, 64);
  Random random(5);
  std::vector<Weight> weights(3);
  weights[0].parts = {float_part(4, 64, 1, random)};
  weights[1].parts = {part_of(WeightFormat::w4a8, 32, 64, random)};
  weights[2].parts = {float_part(1, 32, 1, random)};
  const ExactMode exact;
  const auto executable =
      make_ascend_device(0).value()->load(program, weights, limits_of(DType::bf16));
  ASSERT_FALSE(executable);
  EXPECT_EQ(executable.error().code, ErrorCode::unsupported);
  EXPECT_NE(executable.error().message.find("head: w4a8 weights are not"), std::string::npos)
      << executable.error().message;
}

TEST(ExactMode, IsForChipsThatMultiplyFp32) {
  const ChipProfile chip = load_chip("ascend-910b3").value();
  EXPECT_FALSE(ascend::wants_exact(chip).value());
  const ExactMode exact;
  EXPECT_TRUE(ascend::wants_exact(chip).value());
  EXPECT_NE(make_ascend_device(0).value()->description().find("activations in FP32"),
            std::string::npos);
  const auto refused = ascend::wants_exact(load_chip("ascend-310p").value());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("multiplies no FP32"), std::string::npos)
      << refused.error().message;
}

TEST(ExactMode, KnowsOneValue) {
  const ExactMode exact("fp32");
  const auto refused = ascend::wants_exact(load_chip("ascend-910b3").value());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  EXPECT_NE(refused.error().message.find("fp32"), std::string::npos);
}

}  // namespace
}  // namespace lotse
