// Ports of golden models, read back: what is bound is exactly what the formats define, and the
// model that runs from it stays close to the original.
#include <cmath>
#include <numeric>

#include "base/float_types.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/safetensors.h"
#include "device/reference/reference_device.h"
#include "device/reference/reference_ops.h"
#include "model/model.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

Model load(const fs::path& path) { return load_model(open_checkpoint(path).value()).value(); }

// Row `row` of a plain weight as floats.
std::vector<float> source_row(const WeightPart& part, int64_t row) {
  std::vector<float> values(static_cast<size_t>(part.columns));
  EXPECT_TRUE(dequantize_rows(part.data, row, row + 1, values.data()));
  return values;
}

void expect_int8(const std::vector<float>& source, const WeightPart& part, int64_t row) {
  float largest = 0;
  for (const float value : source) largest = std::max(largest, std::fabs(value));
  const float scale = part.scales.as<float>()[static_cast<size_t>(row)];
  ASSERT_EQ(scale, largest / 127);
  for (int64_t k = 0; k < part.columns; ++k) {
    const float expected = scale == 0 ? 0 : std::nearbyint(source[static_cast<size_t>(k)] / scale);
    ASSERT_EQ(reference::weight_value(part, row, k), expected);
  }
}

void expect_int4(const std::vector<float>& source, const WeightPart& part, int64_t row) {
  const size_t groups = source.size() / static_cast<size_t>(part.group);
  std::vector<uint16_t> scales(groups);
  std::vector<int8_t> q(source.size());
  ASSERT_TRUE(quantise_int4_row(source, part.group, scales, q));
  for (int64_t k = 0; k < part.columns; ++k) {
    const size_t g = static_cast<size_t>(k / part.group);
    const float scale = part.scales.as<float>()[static_cast<size_t>(row) * groups + g];
    ASSERT_EQ(scale, bf16_to_float(scales[g]));
    const float value = static_cast<float>(q[static_cast<size_t>(k)]);
    const bool is_wide = part.format == WeightFormat::w4a16;
    ASSERT_EQ(reference::weight_value(part, row, k),
              is_wide ? round_to_bf16(value * scale) : value);
  }
}

void expect_part(const WeightPart& original, const WeightPart& ported) {
  ASSERT_EQ(original.rows, ported.rows);
  ASSERT_EQ(original.columns, ported.columns);
  for (int64_t row = 0; row < original.rows; ++row) {
    const std::vector<float> source = source_row(original, row);
    if (ported.format == WeightFormat::w8a8) {
      expect_int8(source, ported, row);
    } else if (ported.format == WeightFormat::bf16) {
      for (int64_t k = 0; k < ported.columns; ++k) {
        ASSERT_EQ(reference::weight_value(ported, row, k),
                  round_to_bf16(source[static_cast<size_t>(k)]));
      }
    } else {
      expect_int4(source, ported, row);
    }
  }
}

bool is_projection(const std::string& name) {
  return name.find("_proj.weight") != std::string::npos ||
         name.find(".experts.") != std::string::npos;
}

struct Case {
  std::string model;
  WeightFormat format;
  double kl;        // bound of the mean divergence from the original, nats a token
  bool is_partial;  // some matrices have columns that no group divides
};

// Random weights are the hardest to quantise: nothing in them is redundant. Bounds are about twice
// what was measured.
const Case kCases[] = {
    {"llama3_bf16", WeightFormat::bf16, 1e-6, false},
    {"llama3_bf16", WeightFormat::w8a8, 4e-3, false},
    {"qwen3", WeightFormat::bf16, 1e-3, false},
    {"qwen3", WeightFormat::w8a8, 3e-3, false},
    {"qwen3", WeightFormat::w4a16, 0.3, false},
    {"qwen3", WeightFormat::w4a8, 0.3, false},
    {"mixtral", WeightFormat::w8a8, 1.5e-2, false},
    {"mixtral", WeightFormat::w4a16, 0.3, true},
    {"qwen3_moe", WeightFormat::w8a8, 1.5e-2, false},
    {"phi3", WeightFormat::w8a8, 3e-3, false},
    {"phi3", WeightFormat::w4a8, 0.3, false},
    {"gemma2", WeightFormat::w8a8, 3e-3, false},
    {"gemma3", WeightFormat::w8a8, 3e-3, false},
    {"olmo2", WeightFormat::w8a8, 3e-3, false},
    {"qwen2", WeightFormat::w8a8, 3e-3, false},
    {"llama_sharded", WeightFormat::w8a8, 3e-3, false},
    {"llama_bin", WeightFormat::w8a8, 3e-3, false},
    {"gguf/llama.gguf", WeightFormat::w8a8, 3e-3, false},
};

class RoundTrip : public testing::TestWithParam<Case> {};

// Logits of every token of a fixed prompt.
std::vector<float> logits_of(const Model& model) {
  constexpr size_t kTokens = 24;
  std::vector<int32_t> tokens(kTokens);
  for (size_t i = 0; i < kTokens; ++i) tokens[i] = static_cast<int32_t>(3 + i * 37 % 101);
  std::vector<int32_t> rows(kTokens);
  std::iota(rows.begin(), rows.end(), 0);
  ExecutionLimits limits;
  limits.max_tokens = limits.max_outputs = kTokens;
  limits.cache_type = DType::f32;
  const std::vector<int32_t> blocks = {0};
  const BatchSequence sequence{0, kTokens, kTokens, blocks};
  const auto device = make_reference_device();
  const auto executable = device->load(model.program, model.weights, limits).value();
  const auto logits = executable->run({tokens, rows, {&sequence, 1}, rows}).value();
  return {logits.begin(), logits.end()};
}

std::vector<double> log_softmax(std::span<const float> logits) {
  const auto largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value) - largest);
  std::vector<double> result;
  for (const float value : logits) {
    result.push_back(static_cast<double>(value) - largest - std::log(total));
  }
  return result;
}

double mean_kl(const std::vector<float>& original, const std::vector<float>& ported, size_t width) {
  double sum = 0;
  for (size_t begin = 0; begin < original.size(); begin += width) {
    const auto p = log_softmax(std::span(original).subspan(begin, width));
    const auto q = log_softmax(std::span(ported).subspan(begin, width));
    for (size_t i = 0; i < width; ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  }
  return sum / static_cast<double>(original.size() / width);
}

TEST_P(RoundTrip, BindsWhatTheFormatDefinesAndStaysClose) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "out";
  PortSettings settings;
  settings.quant = GetParam().format;
  const auto result = port(golden(GetParam().model), out, settings);
  ASSERT_TRUE(result) << result.error().message;
  const Model original = load(golden(GetParam().model));
  const Model ported = load(out);
  int64_t quantised = 0;
  for (size_t i = 0; i < original.weights.size(); ++i) {
    const WeightDecl& decl = original.program.weights[i];
    ASSERT_EQ(original.weights[i].parts.size(), ported.weights[i].parts.size());
    for (size_t p = 0; p < original.weights[i].parts.size(); ++p) {
      const WeightPart& part = ported.weights[i].parts[p];
      if (decl.role == WeightRole::vector) {
        for (int64_t k = 0; k < part.columns; ++k) {
          const float source = reference::weight_value(original.weights[i].parts[p], 0, k);
          ASSERT_EQ(reference::weight_value(part, 0, k), round_to_bf16(source)) << decl.sources[p];
        }
        continue;
      }
      SCOPED_TRACE(decl.sources[p]);
      const bool is_quantised = part.format != WeightFormat::bf16;
      quantised += is_quantised;
      if (GetParam().format == WeightFormat::bf16 || !GetParam().is_partial) {
        EXPECT_EQ(part.format,
                  is_projection(decl.sources[p]) ? GetParam().format : WeightFormat::bf16);
      } else if (is_quantised) {
        EXPECT_TRUE(is_projection(decl.sources[p]));
      }
      expect_part(original.weights[i].parts[p], part);
    }
  }
  EXPECT_EQ(quantised > 0, GetParam().format != WeightFormat::bf16);
  const auto width = static_cast<size_t>(original.config.vocabulary);
  const double kl = mean_kl(logits_of(original), logits_of(ported), width);
  RecordProperty("kl", fmt::format("{}", kl));
  EXPECT_GE(kl, 0);
  EXPECT_LT(kl, GetParam().kl);
}

std::string case_name(const testing::TestParamInfo<Case>& tested) {
  std::string text = tested.param.model + "_" + std::string(name(tested.param.format));
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return text;
}

INSTANTIATE_TEST_SUITE_P(Golden, RoundTrip, testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace lotse
