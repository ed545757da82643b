// A checkpoint whose weights the chip cannot compute with: refused with the fix, ported, run.
#include "base/checked.h"
#include "base/float_types.h"
#include "chip/profile.h"
#include "engine/engine.h"
#include "tests/port/model_builder.h"

namespace lotse {
namespace {

constexpr int64_t kBlock = 128;

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Puts a matrix into FP8 E4M3 with one scale a block of 128 by 128, as DeepSeek's checkpoints are.
void quantise_to_fp8(ModelBuilder& model, const std::string& name) {
  const Tensor source = model.tensors.at(name);
  const std::vector<float> values = model.floats(name);
  const int64_t rows = source.shape[0];
  const int64_t columns = source.shape[1];
  const int64_t blocks = ceil_div(columns, kBlock);
  std::vector<float> scales(at(ceil_div(rows, kBlock) * blocks));
  for (int64_t i = 0; i < rows * columns; ++i) {
    float& scale = scales[at(i / columns / kBlock * blocks + i % columns / kBlock)];
    scale = std::max(scale, std::abs(values[at(i)]) / 448.0f);
  }
  std::vector<uint8_t> bytes(values.size());
  for (int64_t i = 0; i < rows * columns; ++i) {
    const float scale = scales[at(i / columns / kBlock * blocks + i % columns / kBlock)];
    bytes[at(i)] = scale == 0 ? uint8_t{0} : float_to_e4m3(values[at(i)] / scale);
  }
  model.tensors[name] = make_tensor(DType::f8_e4m3, source.shape, std::move(bytes));
  model.tensors[name + "_scale_inv"] =
      make_tensor(DType::f32, Shape({ceil_div(rows, kBlock), blocks}), std::move(scales));
}

class Fp8Checkpoint : public testing::Test {
 protected:
  void SetUp() override {
    ModelBuilder model{nano_};
    for (const auto& [name, tensor] : std::map(model.tensors)) {
      const bool is_linear = name.ends_with("_proj.weight");
      if (is_linear) quantise_to_fp8(model, name);
    }
    model.config["quantization_config"] = {{"quant_method", "fp8"},
                                           {"fmt", "e4m3"},
                                           {"activation_scheme", "dynamic"},
                                           {"weight_block_size", {kBlock, kBlock}}};
    model.write(checkpoint_);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      std::filesystem::copy_file(nano_ / name, checkpoint_ / name);
    }
  }

  // The answer to a question, by the model's own chat template.
  static std::string answer(const std::filesystem::path& model, const std::string& device) {
    EngineOptions options;
    options.device = device;
    const auto engine = Engine::open(model, options);
    if (!engine) return engine.error().message;
    const Tokenizer& tokenizer = *(*engine)->tokenizer();
    const auto prompt =
        (*engine)->chat()->encode(tokenizer, {{"user", "What is 17 plus 25?"}}).value();
    const auto session = (*engine)->make_session();
    const auto result = (*engine)->generate(*session, prompt, {}, 64, [](int32_t) { return true; });
    return result ? tokenizer.decode(result->tokens, true) : result.error().message;
  }

  std::filesystem::path nano_ = std::filesystem::path(LOTSE_SOURCE_DIR) / "models" / "lotse-nano";
  ScratchFolder scratch_;
  std::filesystem::path checkpoint_ = scratch_.path() / "nano-fp8";
};

TEST_F(Fp8Checkpoint, IsRefusedUnportedAndAnswersOncePorted) {
  const std::string refusal = answer(checkpoint_, "ascend:0");
  EXPECT_NE(refusal.find("FP8 weights"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("lotse port"), std::string::npos) << refusal;

  PortRequest request;
  request.model = checkpoint_;
  request.out = scratch_.path() / "ported";
  request.options.quant = WeightFormat::w8a8;
  const auto ported = port_model(request, load_chip("ascend-910b3").value());
  ASSERT_TRUE(ported) << ported.error().message;
  EXPECT_EQ(answer(request.out, "ascend:0"), "17 + 25 = 42");
  EXPECT_EQ(answer(request.out, "cpu"), "17 + 25 = 42");
}

}  // namespace
}  // namespace lotse
