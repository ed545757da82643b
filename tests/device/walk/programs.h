// Small programs and real configurations for tests of the walks.
#pragma once

#include <cstdlib>
#include <string>

#include "base/json.h"
#include "device/ops.h"
#include "model/model.h"

namespace lotse {

// One dense layer: hidden 64, 8 heads on 2 KV heads of 16, MLP of 160, vocabulary 300.
inline Program dense_program(int64_t window = 0, Activation activation = Activation::silu) {
  Ops ops;
  const RopeId rope = ops.rope_table({std::vector<float>(8, 1.0F), 1});
  ValueId x = ops.embed("embed", 300, 64, 1);
  ops.begin_layer(0);
  const ValueId normed = ops.rms_norm("attention_norm", x, ops.vector({"norm"}, 64), 1e-6F);
  const ValueId qkv = ops.linear("qkv", normed, ops.matrix({"q", "k", "v"}, 192, 64));
  ops.rope("rope", qkv, rope, 0, 10, 16);
  const ValueId mixed = ops.attention(qkv, {8, 2, 16, 0.25F, 0, window});
  x = ops.add("attention_add", x,
              ops.linear("attention_output", mixed, ops.matrix({"o"}, 64, 128)));
  const ValueId gate_up = ops.linear("gate_up", x, ops.matrix({"gate", "up"}, 320, 64));
  const ValueId hidden = ops.gated_activation(gate_up, activation);
  x = ops.add("output", x, ops.linear("mlp_output", hidden, ops.matrix({"down"}, 64, 160)));
  ops.begin_layer(kNone);
  return ops.finish(ops.linear("logits", ops.gather_rows(x), ops.matrix({"head"}, 300, 64)));
}

// One mixture of experts: hidden 64, 3 of 16 experts of width 32, vocabulary 300.
inline Program moe_program() {
  Ops ops;
  const ValueId x = ops.embed("embed", 300, 64, 1);
  ops.begin_layer(0);
  Ops::MoeShape shape{};
  shape.router = ops.matrix({"router"}, 16, 64);
  shape.gate_up = ops.experts({"gate_up"}, 16, 64, 64);
  shape.down = ops.experts({"down"}, 16, 64, 32);
  shape.experts = 16;
  shape.top_k = 3;
  shape.width = 32;
  const ValueId y = ops.moe(x, shape);
  ops.begin_layer(kNone);
  return ops.finish(ops.linear("logits", ops.gather_rows(y), ops.matrix({"head"}, 300, 64)));
}

// Empty when LOTSE_TEST_DATA is unset.
inline std::string config_path(const std::string& model) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  return data ? std::string(data) + "/configs/" + model + "/config.json" : "";
}

inline Program program_of(const std::string& model) {
  const std::string path = config_path(model);
  return record_program(read_model_config(read_json_file(path).value(), path).value(), 4096)
      .value();
}

}  // namespace lotse

// Ends a test that needs a real configuration where there is none.
#define LOTSE_NEED_DATA() \
  if (!std::getenv("LOTSE_TEST_DATA")) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is unset"
