// Random checkpoints against the real ones that transformers wrote for the same configurations.
#include "cli/random_checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>

#include "base/float_types.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(LOTSE_SOURCE_DIR) / "tests" / "golden";

std::vector<fs::path> golden_models() {
  std::vector<fs::path> models;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (fs::exists(entry.path() / "config.json")) models.push_back(entry.path());
  }
  return models;
}

std::map<std::string, std::string> shapes_of(const std::vector<RandomTensor>& tensors) {
  std::map<std::string, std::string> shapes;
  for (const RandomTensor& tensor : tensors) {
    shapes[tensor.info.name] = to_string(tensor.info.shape);
  }
  return shapes;
}

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("lotse-synth-" + std::to_string(::getpid()));
  Scratch() {
    fs::remove_all(path);
    fs::create_directory(path);
  }
  ~Scratch() { fs::remove_all(path); }
};

RandomCheckpointOptions options(uint64_t seed, std::optional<int64_t> layers = {}) {
  return {seed, layers, {}};
}

Result<Checkpoint> write_and_open(const fs::path& config, const fs::path& out,
                                  const RandomCheckpointOptions& options) {
  const auto plan = LOTSE_TRY(plan_random_checkpoint(config, options));
  LOTSE_TRY(write_random_checkpoint(plan, out, [](int64_t) {}));
  return open_checkpoint(out);
}

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const auto tensor = checkpoint.weights->read(name);
  EXPECT_TRUE(tensor);
  std::vector<float> floats;
  for (const uint16_t bits : tensor->as<uint16_t>()) floats.push_back(bf16_to_float(bits));
  return floats;
}

TEST(RandomCheckpoint, NamesAndShapesAreThoseOfTransformers) {
  ASSERT_GE(golden_models().size(), 15u);
  for (const fs::path& model : golden_models()) {
    SCOPED_TRACE(model.filename());
    const auto real = open_checkpoint(model);
    const auto plan = plan_random_checkpoint(model / "config.json", {});
    ASSERT_TRUE(real);
    ASSERT_TRUE(plan) << plan.error().message;
    std::map<std::string, std::string> expected;
    for (const TensorInfo& tensor : real->weights->tensors()) {
      expected[tensor.name] = to_string(tensor.shape);
    }
    // transformers writes a tied head only under the embedding's name, PyTorch files under both.
    if (!shapes_of(plan->tensors).contains("lm_head.weight")) expected.erase("lm_head.weight");
    EXPECT_EQ(shapes_of(plan->tensors), expected);
  }
}

TEST(RandomCheckpoint, IsAModelThatBinds) {
  for (const char* name : {"qwen3", "gemma3", "phi3", "mixtral", "qwen3_moe_mixed", "llama_bias"}) {
    SCOPED_TRACE(name);
    const Scratch scratch;
    const auto written = write_and_open(kGolden / name / "config.json", scratch.path / "m", {});
    ASSERT_TRUE(written) << written.error().message;
    const auto model = load_model(*written);
    EXPECT_TRUE(model) << model.error().message;
  }
}

TEST(RandomCheckpoint, WeightsHaveTheStatedMomentsAndDependOnSeedAlone) {
  const Scratch scratch;
  const fs::path config = kGolden / "qwen3" / "config.json";
  const auto one = write_and_open(config, scratch.path / "one", options(1));
  const auto again = write_and_open(config, scratch.path / "again", options(1, 1));
  const auto other = write_and_open(config, scratch.path / "other", options(2));
  ASSERT_TRUE(one && again && other);
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  EXPECT_EQ(values(*one, name), values(*again, name));
  EXPECT_NE(values(*one, name), values(*other, name));

  const auto table = values(*one, "model.embed_tokens.weight");
  const auto columns =
      static_cast<double>(one->weights->find("model.embed_tokens.weight")->shape[1]);
  double sum = 0, squares = 0;
  for (const float v : table) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const auto count = static_cast<double>(table.size());
  EXPECT_NEAR(sum / count * std::sqrt(columns), 0, 5 / std::sqrt(count));
  EXPECT_NEAR(squares / count * columns, 1, 8 / std::sqrt(count));
  for (const float v : values(*one, "model.norm.weight")) EXPECT_NEAR(v, 1, 0.5);
}

TEST(RandomCheckpoint, GemmaNormsAreStoredAroundZero) {
  const auto plan = plan_random_checkpoint(kGolden / "gemma2" / "config.json", {});
  ASSERT_TRUE(plan);
  for (const RandomTensor& tensor : plan->tensors) {
    if (tensor.info.name == "model.norm.weight") EXPECT_EQ(tensor.mean, 0);
  }
}

TEST(RandomCheckpoint, LayersAreCutWithWhatTheConfigurationSaysOfEach) {
  const auto plan = plan_random_checkpoint(kGolden / "gemma3" / "config.json", options(0, 1));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->config["num_hidden_layers"], 1);
  for (const RandomTensor& tensor : plan->tensors) {
    EXPECT_EQ(tensor.info.name.find("layers.1."), std::string::npos) << tensor.info.name;
  }
}

TEST(RandomCheckpoint, AFullOrTakenDestinationIsLeftAlone) {
  const Scratch scratch;
  const auto plan = plan_random_checkpoint(kGolden / "llama" / "config.json", {});
  ASSERT_TRUE(plan);
  fs::create_directory(scratch.path / "taken");
  EXPECT_FALSE(write_random_checkpoint(*plan, scratch.path / "taken", [](int64_t) {}));
  EXPECT_TRUE(fs::is_empty(scratch.path / "taken"));
}

}  // namespace
}  // namespace lotse::cli
