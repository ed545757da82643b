// The golden encoders (tools/golden_encoders.py) and what every device must make of them.
#pragma once

#include <string>
#include <vector>

#include "tests/golden/golden.h"

namespace lotse {

struct EncoderText {
  std::vector<int32_t> tokens;
  std::vector<float> hidden;
};

inline std::vector<EncoderText> golden_texts(const fs::path& folder) {
  const SafetensorsFile file = open_safetensors(folder / "golden.safetensors").value();
  std::vector<EncoderText> texts(file.tensors.size() / 2);
  for (const StoredTensor& tensor : file.tensors) {
    const auto count = static_cast<size_t>(tensor.info.shape.elements().value());
    const size_t dot = tensor.info.name.find('.');
    EncoderText& text = texts[static_cast<size_t>(std::stoi(tensor.info.name.substr(dot + 1)))];
    const auto* ids = reinterpret_cast<const int64_t*>(tensor.bytes.data());
    const auto* floats = reinterpret_cast<const float*>(tensor.bytes.data());
    if (tensor.info.name.starts_with("tokens")) {
      text.tokens.assign(ids, ids + count);
    } else {
      text.hidden.assign(floats, floats + count);
    }
  }
  return texts;
}

// Final hidden states of texts in one step, one after the other.
inline std::vector<float> hidden_of(Executable& executable, const ExecutionLimits& limits,
                                    std::span<const EncoderText> texts) {
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;
  std::vector<int32_t> blocks(static_cast<size_t>(limits.cache_blocks));
  std::iota(blocks.begin(), blocks.end(), 0);
  std::vector<BatchSequence> sequences;
  for (const EncoderText& text : texts) {
    const auto count = static_cast<int32_t>(text.tokens.size());
    sequences.push_back({static_cast<int32_t>(tokens.size()), count, count, blocks});
    for (int32_t i = 0; i < count; ++i) positions.push_back(i);
    tokens.insert(tokens.end(), text.tokens.begin(), text.tokens.end());
  }
  std::vector<int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  const auto hidden = executable.run_hidden({tokens, positions, sequences, rows}).value();
  return {hidden.begin(), hidden.end()};
}

// Each text's final hidden states against PyTorch's, and the same bits beside the other texts.
inline void expect_hidden_states_of_texts(Device& device, const std::string& name,
                                          double tolerance) {
  const fs::path folder = kGolden / "encoders" / name;
  const Model model = load_model(open_checkpoint(folder).value()).value();
  ExecutionLimits limits;
  limits.max_tokens = limits.max_outputs = 512;
  limits.cache_type = DType::f32;
  limits.block_tokens = device.block_tokens();
  limits.cache_blocks = 16;
  const auto loaded = device.load(model.program, model.weights, limits);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Executable& executable = **loaded;
  const std::vector<EncoderText> texts = golden_texts(folder);
  const std::vector<float> together = hidden_of(executable, limits, texts);
  auto begin = together.begin();
  for (const EncoderText& text : texts) {
    const std::vector<float> alone = hidden_of(executable, limits, {&text, 1});
    ASSERT_EQ(alone.size(), text.hidden.size());
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), begin)) << text.tokens.size() << " tokens";
    begin += std::ssize(alone);
    double worst = 0;
    for (size_t i = 0; i < alone.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::fabs(alone[i] - text.hidden[i])));
    }
    EXPECT_LT(worst / static_cast<double>(rms(text.hidden)), tolerance)
        << text.tokens.size() << " tokens";
  }
  EXPECT_EQ(executable.run({}).error().code, ErrorCode::unsupported);
}

}  // namespace lotse
