#include "device/walk/storage.h"

#include <gtest/gtest.h>

#include "device/weight.h"
#include "programs.h"
#include "tensor/dtype.h"

namespace lotse {
namespace {

// The walk and the devices must agree on sizes.
TEST(Storage, SizesAgreeWithTheDevices) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16,
                                    WeightFormat::w8a8, WeightFormat::w4a16, WeightFormat::w4a8}) {
    for (const int64_t columns : {64, 100, 4096}) {
      EXPECT_DOUBLE_EQ(format_bytes(name(format), 7, columns, 32),
                       7 * bytes_per_row(format, columns, 32))
          << name(format) << " " << columns;
    }
  }
  for (const DType type : {DType::q8_0, DType::q4_k, DType::q6_k}) {
    EXPECT_DOUBLE_EQ(format_bytes(name(type), 3, 512, 0),
                     static_cast<double>(byte_size(type, 3 * 512).value()));
  }
}

TEST(Storage, ScalesOfTheImportedFormats) {
  EXPECT_DOUBLE_EQ(format_bytes("fp8_tensor", 256, 384, 0), 256 * 384 + 4);
  EXPECT_DOUBLE_EQ(format_bytes("fp8_channel", 256, 384, 0), 256 * 384 + 4 * 256);
  EXPECT_DOUBLE_EQ(format_bytes("fp8_block", 256, 385, 0), 256 * 385 + 4 * 2 * 4);  // ragged edge
  EXPECT_DOUBLE_EQ(format_bytes("mxfp4", 256, 384, 0), 256 * 384 / 2 + 256 * 384 / 32);
}

TEST(Storage, QuantisingKeepsEmbeddingsRoutersAndLogits) {
  const Program program = moe_program();
  Storage storage = uniform_storage(program, "bf16", "bf16");
  quantise(storage, program, "w4a16", 32);
  std::map<std::string, std::string> formats;
  for (size_t i = 0; i < program.weights.size(); ++i) {
    formats[program.weights[i].sources.front()] = storage.weights[i].format;
  }
  const std::map<std::string, std::string> expected = {{"embed", "bf16"},
                                                       {"router", "bf16"},
                                                       {"gate_up", "w4a16"},
                                                       {"down", "w4a16"},
                                                       {"head", "bf16"}};
  EXPECT_EQ(formats, expected);
}

TEST(Storage, CacheBytes) {
  // 2 KV heads of 16, keys and values.
  EXPECT_DOUBLE_EQ(kv_bytes_per_token(dense_program(), "bf16"), 2 * 2 * 16 * 2);
  EXPECT_DOUBLE_EQ(kv_bytes_per_token(dense_program(), "int8"), 2 * 2 * (16 + 4));
}

TEST(Storage, ParametersCountSharedTensorsOnce) {
  Ops ops;
  const ValueId x = ops.embed("embed", 300, 64, 1);
  const Program tied =
      ops.finish(ops.linear("logits", ops.gather_rows(x), ops.matrix({"embed"}, 300, 64)));
  EXPECT_EQ(parameter_count(tied), 300 * 64);
  const Program moe = moe_program();
  EXPECT_EQ(parameter_count(moe), 2 * 300 * 64 + 16 * 64 + 16 * (64 * 64 + 64 * 32));
  EXPECT_EQ(active_parameter_count(moe), 2 * 300 * 64 + 16 * 64 + 3 * (64 * 64 + 64 * 32));
}

// Counts that the models' own cards and papers state, in billions.
TEST(Storage, ParametersOfRealModelsAreThePublishedOnes) {
  LOTSE_NEED_DATA();
  struct Published {
    const char* model;
    double total, active;
  };
  for (const Published& model :
       {Published{"Qwen--Qwen3-8B", 8.2, 8.2},
        Published{"meta-llama--Meta-Llama-3.1-8B", 8.03, 8.03},
        Published{"qwen2.5-7b-instruct", 7.61, 7.61},
        Published{"mistralai--Mixtral-8x7B-v0.1", 46.7, 12.9},
        Published{"Qwen--Qwen3-30B-A3B", 30.5, 3.3}, Published{"Qwen--Qwen3-235B-A22B", 235, 22},
        Published{"meta-llama--Meta-Llama-3.1-405B", 405, 405}}) {
    const Program program = program_of(model.model);
    EXPECT_NEAR(static_cast<double>(parameter_count(program)) / 1e9 / model.total, 1, 0.012)
        << model.model;
    EXPECT_NEAR(static_cast<double>(active_parameter_count(program)) / 1e9 / model.active, 1, 0.03)
        << model.model;
  }
}

}  // namespace
}  // namespace lotse
