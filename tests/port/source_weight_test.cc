// Weights with scales of their own, read row by row, against plain loops over the whole tensor.
#include "port/source_weight.h"

#include <random>

#include "base/checked.h"
#include "base/float_types.h"
#include "model/model.h"
#include "tests/port/model_builder.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

const std::string kStem = "model.layers.0.mlp.up_proj";  // [80, 48]
constexpr int64_t kRows = 80;
constexpr int64_t kColumns = 48;

class SourceWeights : public testing::Test {
 protected:
  // Scales the weight that is under test by rows and columns of a grid.
  void set_scales(const std::string& suffix, int64_t rows, int64_t columns) {
    std::uniform_real_distribution<float> uniform(0.5f, 2.0f);
    scales_.resize(static_cast<size_t>(rows * columns));
    for (float& scale : scales_) scale = uniform(random_);
    model_.tensors[kStem + suffix] = make_tensor(DType::f32, Shape({rows, columns}), scales_);
  }

  std::vector<uint8_t> random_fp8() {
    std::vector<uint8_t> values(kRows * kColumns);
    for (uint8_t& value : values) {
      do value = static_cast<uint8_t>(random_());
      while ((value & 0x7f) == 0x7f);  // NaN
    }
    model_.tensors[kStem + ".weight"] =
        make_tensor(DType::f8_e4m3, Shape({kRows, kColumns}), values);
    return values;
  }

  // All rows, read in uneven blocks.
  Result<std::vector<float>> read() {
    fs::remove_all(scratch_.path() / "model");
    const Checkpoint checkpoint = open_checkpoint(model_.write(scratch_.path() / "model")).value();
    const auto weights =
        LOTSE_TRY(source_weights(*checkpoint.weights, checkpoint.config, checkpoint.config_origin));
    for (const SourceWeight& weight : weights) {
      if (weight.name != kStem + ".weight") continue;
      const SourceRows rows = LOTSE_TRY(SourceRows::open(*checkpoint.weights, weight));
      std::vector<float> values(static_cast<size_t>(rows.rows() * rows.columns()));
      for (int64_t begin = 0; begin < rows.rows(); begin += 7) {
        const int64_t end = std::min(begin + 7, rows.rows());
        LOTSE_TRY(rows.read(begin, end, values.data() + begin * rows.columns()));
      }
      return values;
    }
    return fail(ErrorCode::not_found, "no such weight");
  }

  void expect(const std::function<float(int64_t row, int64_t column)>& value) {
    const auto values = read();
    ASSERT_TRUE(values) << values.error().message;
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t column = 0; column < kColumns; ++column) {
        ASSERT_EQ((*values)[static_cast<size_t>(row * kColumns + column)], value(row, column))
            << row << ", " << column;
      }
    }
  }

  std::string refusal() {
    const auto values = read();
    return values ? "" : values.error().message;
  }

  ScratchFolder scratch_;
  ModelBuilder model_{golden("llama3_bf16")};
  std::mt19937 random_{1};
  std::vector<float> scales_;
};

TEST_F(SourceWeights, Fp8InRaggedBlocks) {
  model_.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {32, 20}}};
  const auto values = random_fp8();
  set_scales(".weight_scale_inv", 3, 3);
  expect([&](int64_t row, int64_t column) {
    return e4m3_to_float(values[static_cast<size_t>(row * kColumns + column)]) *
           scales_[static_cast<size_t>(row / 32 * 3 + column / 20)];
  });
  set_scales(".weight_scale_inv", 3, 2);
  EXPECT_NE(refusal().find("per block of 32 x 20"), std::string::npos) << refusal();
}

TEST_F(SourceWeights, Fp8PerTensorAndPerChannel) {
  model_.config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                          {"format", "float-quantized"}};
  const auto values = random_fp8();
  for (const int64_t rows : {int64_t{1}, kRows}) {
    set_scales(".weight_scale", rows, 1);
    expect([&](int64_t row, int64_t column) {
      return e4m3_to_float(values[static_cast<size_t>(row * kColumns + column)]) *
             scales_[static_cast<size_t>(rows == 1 ? 0 : row)];
    });
  }
  model_.tensors.erase(kStem + ".weight_scale");
  EXPECT_NE(refusal().find("scales " + kStem + ".weight_scale are missing"), std::string::npos);
}

TEST_F(SourceWeights, PackedInt4InGroups) {
  model_.config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                          {"format", "pack-quantized"}};
  std::vector<int32_t> words(kRows * kColumns / 8);
  for (int32_t& word : words) word = static_cast<int32_t>(random_());
  model_.tensors.erase(kStem + ".weight");
  model_.tensors[kStem + ".weight_packed"] =
      make_tensor(DType::i32, Shape({kRows, kColumns / 8}), words);
  model_.tensors[kStem + ".weight_shape"] =
      make_tensor(DType::i64, Shape({2}), std::vector<int64_t>{kRows, kColumns});
  set_scales(".weight_scale", kRows, 3);
  expect([&](int64_t row, int64_t column) {
    const auto word =
        static_cast<uint32_t>(words[static_cast<size_t>((row * kColumns + column) / 8)]);
    const auto q = static_cast<int>(word >> (column % 8 * 4) & 0xf) - 8;
    return static_cast<float>(q) * scales_[static_cast<size_t>(row * 3 + column / 16)];
  });
  for (const char* trap : {".weight_zero_point", ".weight_g_idx"}) {
    model_.tensors[kStem + trap] = make_tensor(DType::i32, Shape({1}), std::vector<int32_t>{0});
    EXPECT_NE(refusal().find(trap), std::string::npos);
    model_.tensors.erase(kStem + trap);
  }
  model_.tensors[kStem + ".weight_shape"] =
      make_tensor(DType::i64, Shape({2}), std::vector<int64_t>{kRows, kColumns + 8});
  EXPECT_NE(refusal().find("weight_packed"), std::string::npos);
}

// A model whose linear weights are FP8 becomes an ordinary W8A8 or BF16 one.
TEST_F(SourceWeights, AnFp8ModelIsPorted) {
  model_.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {32, 20}}};
  const auto values = random_fp8();
  set_scales(".weight_scale_inv", 3, 3);
  const fs::path folder = model_.write(scratch_.path() / "fp8");
  PortSettings settings;
  settings.target = "ascend-910c";
  settings.quant = WeightFormat::bf16;
  const auto wide = port(folder, scratch_.path() / "bf16", settings);
  ASSERT_TRUE(wide) << wide.error().message;
  const Checkpoint ported = open_checkpoint(scratch_.path() / "bf16").value();
  EXPECT_FALSE(ported.config.contains("quantization_config"));
  EXPECT_EQ(ported.weights->find(kStem + ".weight_scale_inv"), nullptr);
  const Tensor tensor = ported.weights->read(kStem + ".weight").value();
  ASSERT_EQ(tensor.dtype, DType::bf16);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i / kColumns;
    const size_t column = i % kColumns;
    const float expected = e4m3_to_float(values[i]) * scales_[row / 32 * 3 + column / 20];
    ASSERT_EQ(tensor.as<uint16_t>()[i], float_to_bf16(expected));
  }
  settings.quant = WeightFormat::w8a8;
  ASSERT_TRUE(port(folder, scratch_.path() / "w8a8", settings));
  EXPECT_TRUE(load_model(open_checkpoint(scratch_.path() / "w8a8").value()));
}

// Porting a port changes nothing: int8 and int4 of the same kind are taken over as they are.
TEST_F(SourceWeights, QuantisedWeightsOfTheSameKindAreCopied) {
  for (const WeightFormat quant : {WeightFormat::w8a8, WeightFormat::w4a16}) {
    PortSettings settings;
    settings.quant = quant;
    const fs::path first = scratch_.path() / fmt::format("first-{}", name(quant));
    const fs::path second = scratch_.path() / fmt::format("second-{}", name(quant));
    ASSERT_TRUE(port(golden("qwen3"), first, settings));
    const auto again = port(first, second, settings);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(read_bytes(first / "model.safetensors"), read_bytes(second / "model.safetensors"));
    EXPECT_EQ(read_bytes(first / "config.json"), read_bytes(second / "config.json"));
    // And back to bf16: the values that the format stands for.
    settings.quant = WeightFormat::bf16;
    const fs::path wide = scratch_.path() / fmt::format("wide-{}", name(quant));
    ASSERT_TRUE(port(first, wide, settings));
    const Model narrow = load_model(open_checkpoint(first).value()).value();
    const Model widened = load_model(open_checkpoint(wide).value()).value();
    const WeightPart& q = narrow.weights[2].parts[0];
    const WeightPart& w = widened.weights[2].parts[0];
    ASSERT_EQ(q.format, quant);
    ASSERT_EQ(w.format, WeightFormat::bf16);
    if (quant == WeightFormat::w8a8) {
      const float expected =
          round_to_bf16(static_cast<float>(q.data.as<int8_t>()[5]) * q.scales.as<float>()[0]);
      EXPECT_EQ(bf16_to_float(w.data.as<uint16_t>()[5]), expected);
    }
  }
}

}  // namespace
}  // namespace lotse
