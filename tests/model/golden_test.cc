// Every family against PyTorch: tests/golden/README.md says how the data was made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "device/reference/reference_device.h"
#include "model/model.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(LOTSE_SOURCE_DIR) / "tests" / "golden";

std::vector<std::string> golden_cases() {
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
  int64_t rows = 0;
};

Golden read_golden(const fs::path& path) {
  Golden golden;
  const SafetensorsFile file = open_safetensors(path).value();
  for (const StoredTensor& tensor : file.tensors) {
    const auto* floats = reinterpret_cast<const float*>(tensor.bytes.data());
    const auto* ids = reinterpret_cast<const int64_t*>(tensor.bytes.data());
    const size_t count = static_cast<size_t>(tensor.info.shape.elements().value());
    const std::string& name = tensor.info.name;
    if (name == "prompt") golden.prompt.assign(ids, ids + count);
    if (name == "greedy") golden.greedy.assign(ids, ids + count);
    if (name == "logits_bf16") golden.logits_bf16.assign(floats, floats + count);
    if (name == "logits") {
      golden.logits.assign(floats, floats + count);
      golden.rows = tensor.info.shape[0];
    }
  }
  return golden;
}

// One sequence on the reference device.
class Runner {
 public:
  Runner(const Model& model, DType cache_type, int64_t max_tokens) {
    limits_.max_tokens = max_tokens;
    limits_.max_outputs = max_tokens;
    limits_.cache_type = cache_type;
    limits_.block_tokens = 16;
    limits_.cache_blocks = 20;
    blocks_.resize(20);
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::reverse(blocks_.begin(), blocks_.end());  // a block table that is not the identity
    device_ = make_reference_device();
    executable_ = device_->load(model.program, model.weights, limits_).value();
  }

  // Appends tokens; returns the logits of every one.
  std::span<const float> step(std::span<const int32_t> tokens) {
    std::vector<int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), context_);
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    context_ += static_cast<int32_t>(tokens.size());
    const BatchSequence sequence{0, static_cast<int32_t>(tokens.size()), context_, blocks_};
    return executable_->run({tokens, positions, {&sequence, 1}, rows}).value();
  }

 private:
  ExecutionLimits limits_;
  std::vector<int32_t> blocks_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  int32_t context_ = 0;
};

float rms(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(x.size())));
}

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = kGolden / GetParam();
    golden_ = read_golden(folder_ / "golden.safetensors");
    checkpoint_ = open_checkpoint(folder_).value();
    auto model = load_model(checkpoint_);
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

TEST_P(GoldenTest, TeacherForcedLogitsMatchPyTorch) {
  Runner runner(model_, DType::f32, static_cast<int64_t>(tokens_.size()));
  const auto logits = runner.step(tokens_);
  ASSERT_EQ(logits.size(), golden_.logits.size());
  double worst = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::fabs(logits[i] - golden_.logits[i])));
  }
  EXPECT_LT(worst / static_cast<double>(rms(golden_.logits)), 1e-4);
}

TEST_P(GoldenTest, Generates256GreedyTokensAsPyTorchDoes) {
  Runner runner(model_, DType::f32, static_cast<int64_t>(golden_.prompt.size()));
  const size_t vocabulary = static_cast<size_t>(model_.config.vocabulary);
  std::span<const float> logits = runner.step(golden_.prompt);
  std::vector<int32_t> produced;
  while (produced.size() < golden_.greedy.size()) {
    const auto last = logits.last(vocabulary);
    const auto best = std::max_element(last.begin(), last.end()) - last.begin();
    produced.push_back(static_cast<int32_t>(best));
    if (produced.size() < golden_.greedy.size()) {
      logits = runner.step(std::span(produced).last(1));
    }
  }
  EXPECT_EQ(produced, golden_.greedy);
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest, testing::ValuesIn(golden_cases()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lotse
