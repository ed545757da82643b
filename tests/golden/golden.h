// The golden models of every family, their recorded outputs, and a sequence run on a device.
// tests/golden/README.md says how the data was made.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "base/float_types.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "device/device.h"
#include "model/model.h"

namespace lotse {

namespace fs = std::filesystem;

inline const fs::path kGolden = fs::path(LOTSE_SOURCE_DIR) / "tests" / "golden";

inline std::vector<std::string> golden_cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (fs::exists(entry.path() / "golden.safetensors")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Golden {
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;
  std::vector<float> logits;
  std::vector<float> logits_bf16;
  std::vector<float> norm;  // final hidden states of the prompt
  int64_t rows = 0;
};

inline Golden read_golden(const fs::path& path) {
  Golden golden;
  const SafetensorsFile file = open_safetensors(path).value();
  for (const StoredTensor& tensor : file.tensors) {
    const auto* floats = reinterpret_cast<const float*>(tensor.bytes.data());
    const auto* ids = reinterpret_cast<const int64_t*>(tensor.bytes.data());
    const size_t count = static_cast<size_t>(tensor.info.shape.elements().value());
    const std::string& name = tensor.info.name;
    if (name == "prompt") golden.prompt.assign(ids, ids + count);
    if (name == "greedy") golden.greedy.assign(ids, ids + count);
    if (name == "norm") golden.norm.assign(floats, floats + count);
    if (name == "logits_bf16") golden.logits_bf16.assign(floats, floats + count);
    if (name == "logits") {
      golden.logits.assign(floats, floats + count);
      golden.rows = tensor.info.shape[0];
    }
  }
  return golden;
}

// One sequence on a device.
class Runner {
 public:
  Runner(Device& device, const Model& model, DType cache_type, int64_t max_tokens,
         int64_t block_tokens = 16) {
    limits_.max_tokens = max_tokens;
    limits_.max_outputs = max_tokens;
    limits_.cache_type = cache_type;
    limits_.block_tokens = block_tokens;
    limits_.cache_blocks = 384 / block_tokens;
    blocks_.resize(static_cast<size_t>(limits_.cache_blocks));
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::reverse(blocks_.begin(), blocks_.end());  // a block table that is not the identity
    executable_ = device.load(model.program, model.weights, limits_).value();
  }

  // Appends tokens; returns the logits of every one.
  std::span<const float> step(std::span<const int32_t> tokens) {
    return append(tokens, [&](const Batch& batch) { return executable_->run(batch); });
  }

  // Appends tokens; returns the final hidden states of every one.
  std::span<const float> hidden_step(std::span<const int32_t> tokens) {
    return append(tokens, [&](const Batch& batch) { return executable_->run_hidden(batch); });
  }

  // Appends `prompt`, then the likeliest token `count` times; returns those.
  std::vector<int32_t> greedy(std::span<const int32_t> prompt, size_t count, int64_t vocabulary) {
    std::span<const float> logits = step(prompt);
    std::vector<int32_t> produced;
    while (produced.size() < count) {
      const auto last = logits.last(static_cast<size_t>(vocabulary));
      const auto best = std::max_element(last.begin(), last.end()) - last.begin();
      produced.push_back(static_cast<int32_t>(best));
      if (produced.size() < count) logits = step(std::span(produced).last(1));
    }
    return produced;
  }

  Executable& executable() { return *executable_; }

 private:
  template <class Run>
  std::span<const float> append(std::span<const int32_t> tokens, Run&& run) {
    std::vector<int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), context_);
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    context_ += static_cast<int32_t>(tokens.size());
    const BatchSequence sequence{0, static_cast<int32_t>(tokens.size()), context_, blocks_};
    return run(Batch{tokens, positions, {&sequence, 1}, rows}).value();
  }

  ExecutionLimits limits_;
  std::vector<int32_t> blocks_;
  std::unique_ptr<Executable> executable_;
  int32_t context_ = 0;
};

inline float rms(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(x.size())));
}

inline double relative_rms(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
  }
  return std::sqrt(difference / static_cast<double>(a.size())) / static_cast<double>(rms(b));
}

// Checks a device's final hidden states of the prompt: against PyTorch's, and that a step made for
// them alone has the same as one that goes on to logits.
inline void expect_hidden_states(Device& device, const Model& model, const Golden& golden,
                                 int64_t block_tokens = 16) {
  const int64_t tokens = std::ssize(golden.prompt);
  Runner alone(device, model, DType::f32, tokens, block_tokens);
  const auto hidden = alone.hidden_step(golden.prompt);
  ASSERT_EQ(hidden.size(), golden.norm.size());
  float worst = 0;
  for (size_t i = 0; i < hidden.size(); ++i) {
    worst = std::max(worst, std::fabs(hidden[i] - golden.norm[i]));
  }
  EXPECT_LT(worst / rms(golden.norm), 1e-4F);
  if (model.program.logits == kNone) return;
  Runner whole(device, model, DType::f32, tokens, block_tokens);
  whole.step(golden.prompt);
  const auto again = whole.executable().last_hidden().value();
  EXPECT_TRUE(std::ranges::equal(again, hidden));
}

// The same weights in bf16, as a checkpoint of that type would hold them.
inline void narrow_to_bf16(std::vector<Weight>& weights, const Program& program) {
  for (size_t i = 0; i < weights.size(); ++i) {
    if (program.weights[i].role == WeightRole::vector) continue;
    for (WeightPart& part : weights[i].parts) {
      if (part.format != WeightFormat::f32) continue;
      std::vector<uint16_t> halves;
      for (const float value : part.data.as<float>()) halves.push_back(float_to_bf16(value));
      part.format = WeightFormat::bf16;
      part.data = make_tensor(DType::bf16, part.data.shape, std::move(halves));
    }
  }
}

// The same weights in fp32, so that a bf16 checkpoint can be compared with fp32 logits.
inline void widen_to_f32(std::vector<Weight>& weights) {
  for (Weight& weight : weights) {
    for (WeightPart& part : weight.parts) {
      if (part.format != WeightFormat::bf16) continue;
      std::vector<float> values;
      for (const uint16_t bits : part.data.as<uint16_t>()) values.push_back(bf16_to_float(bits));
      part.format = WeightFormat::f32;
      part.data = make_tensor(DType::f32, part.data.shape, std::move(values));
    }
  }
}

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = kGolden / GetParam();
    golden_ = read_golden(folder_ / "golden.safetensors");
    checkpoint_ = open_checkpoint(folder_).value();
    // LongRoPE has two sets of factors; a short one holds for contexts up to the original length.
    const Json facts = read_json_file((folder_ / "golden.json").string()).value();
    const bool is_short = facts.value("longrope_factors", "") == "short";
    const int64_t original = checkpoint_.config.value("original_max_position_embeddings", 0);
    auto model = load_model(checkpoint_, is_short ? original : 0);
    ASSERT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
    tokens_ = golden_.prompt;
    const size_t follow = static_cast<size_t>(golden_.rows) - golden_.prompt.size();
    tokens_.insert(tokens_.end(), golden_.greedy.begin(),
                   golden_.greedy.begin() + static_cast<ptrdiff_t>(follow));
  }

  fs::path folder_;
  Golden golden_;
  Checkpoint checkpoint_;
  Model model_;
  std::vector<int32_t> tokens_;
};

}  // namespace lotse
