// A small program with every operator, random weights in each format, and prompts: what the tests
// of every device run.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/float_types.h"
#include "device/device.h"
#include "device/ops.h"

namespace lotse {

// Deterministic random numbers.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float normal(float deviation = 1) {
    return std::normal_distribution<float>(0, deviation)(engine_);
  }
  std::vector<float> normals(int64_t count, float deviation = 1) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(deviation);
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

// |actual − expected| ≤ relative · |expected| + absolute, where NaN matches NaN.
inline testing::AssertionResult near(double actual, double expected, double relative,
                                     double absolute) {
  if (std::isnan(actual) && std::isnan(expected)) return testing::AssertionSuccess();
  if (actual == expected) return testing::AssertionSuccess();
  if (std::abs(actual - expected) <= relative * std::abs(expected) + absolute) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << actual << " instead of " << expected;
}

inline size_t at(int64_t index) { return static_cast<size_t>(index); }

inline constexpr int64_t kVocabulary = 97;
inline constexpr int64_t kHidden = 96;
inline constexpr int64_t kWidth = 80;
inline constexpr int64_t kHeads = 4;
inline constexpr int64_t kKvHeads = 2;
inline constexpr int64_t kHeadDim = 24;
inline constexpr int64_t kExperts = 5;

// Two layers, of which the second has a mixture of experts, a window and softcaps.
inline Program make_program() {
  Ops ops;
  RopeTable table;
  for (int i = 0; i < 8; ++i) {
    table.inverse_frequency.push_back(std::pow(10000.0f, -static_cast<float>(i) / 8));
  }
  const RopeId rope = ops.rope_table(table);
  constexpr int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
  ValueId x = ops.embed("embed", kVocabulary, kHidden, 1.5f);
  for (int layer = 0; layer < 2; ++layer) {
    ops.begin_layer(layer);
    ValueId h = ops.rms_norm("norm", x, ops.vector({"norm"}, kHidden, 1), 1e-5f);
    const WeightId qkv_matrix = ops.matrix({"qkv"}, kQkv, kHidden);
    const ValueId qkv = ops.linear("qkv", h, qkv_matrix, ops.vector({"bias"}, kQkv));
    ops.rms_norm_groups("q_norm", qkv, ops.vector({"q_norm"}, kHeadDim), 1e-6f, 0, kHeads,
                        kHeadDim);
    ops.rope("rope", qkv, rope, 0, kHeads + kKvHeads, kHeadDim, layer == 1);
    h = ops.attention(
        qkv, {kHeads, kKvHeads, kHeadDim, 0.2f, layer == 1 ? 30.0f : 0, layer == 1 ? 11 : 0});
    x = ops.add("add", x, ops.linear("o", h, ops.matrix({"o"}, kHidden, kHeads * kHeadDim)));
    h = ops.rms_norm("norm2", x, ops.vector({"norm2"}, kHidden), 1e-5f);
    if (layer == 0) {
      h = ops.gated_activation(
          ops.linear("gate_up", h, ops.matrix({"gate_up"}, 2 * kWidth, kHidden)),
          Activation::gelu_tanh);
      h = ops.linear("down", h, ops.matrix({"down"}, kHidden, kWidth));
    } else {
      h = ops.moe(h, {ops.matrix({"router"}, kExperts, kHidden),
                      ops.experts({"experts.gate_up"}, kExperts, 2 * kWidth, kHidden),
                      ops.experts({"experts.down"}, kExperts, kHidden, kWidth), kExperts, 2, kWidth,
                      true, Activation::silu});
    }
    x = ops.add("add2", x, h);
  }
  ops.begin_layer(kNone);
  const ValueId logits =
      ops.linear("lm_head", ops.gather_rows(x), ops.matrix({"head"}, kVocabulary, kHidden));
  ops.softcap(logits, 20);
  return ops.finish(logits);
}

inline WeightPart float_part(int64_t rows, int64_t columns, float deviation, Random& random) {
  return {WeightFormat::f32,
          rows,
          columns,
          make_tensor(DType::f32, {rows, columns}, random.normals(rows * columns, deviation)),
          {}};
}

inline WeightPart bf16_part(int64_t rows, int64_t columns, float deviation, Random& random) {
  std::vector<uint16_t> values;
  for (const float v : random.normals(rows * columns, deviation)) {
    values.push_back(float_to_bf16(v));
  }
  return {WeightFormat::bf16,
          rows,
          columns,
          make_tensor(DType::bf16, {rows, columns}, std::move(values)),
          {}};
}

inline WeightPart int8_part(int64_t rows, int64_t columns, Random& random) {
  std::vector<int8_t> values(at(rows * columns));
  for (int8_t& v : values) v = static_cast<int8_t>(random.between(-128, 127));
  std::vector<float> scales(at(rows));
  for (float& s : scales) s = 0.01f / std::sqrt(static_cast<float>(columns));
  return {WeightFormat::w8a8, rows, columns,
          make_tensor(DType::i8, {rows, columns}, std::move(values)),
          make_tensor(DType::f32, {rows}, std::move(scales))};
}

inline std::vector<Weight> random_weights(const Program& program, WeightFormat format,
                                          uint64_t seed) {
  Random random(seed);
  std::vector<Weight> weights;
  for (const WeightDecl& decl : program.weights) {
    Weight weight;
    const int64_t rows = decl.rows / decl.experts;
    const float deviation = 1 / std::sqrt(static_cast<float>(decl.columns));
    // The router stays f32: a rounding that swaps two experts would say nothing about kernels.
    const bool plain = decl.role == WeightRole::vector || decl.sources[0] == "router";
    for (int64_t e = 0; e < decl.experts; ++e) {
      if (plain || format == WeightFormat::f32) {
        weight.parts.push_back(float_part(rows, decl.columns, plain ? 0.5f : deviation, random));
      } else if (format == WeightFormat::bf16 || decl.role == WeightRole::table) {
        weight.parts.push_back(bf16_part(rows, decl.columns, deviation, random));
      } else {
        // Two parts an expert, as q, k and v or gate and up come from checkpoints.
        weight.parts.push_back(int8_part(rows / 2, decl.columns, random));
        weight.parts.push_back(int8_part(rows - rows / 2, decl.columns, random));
      }
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

inline ExecutionLimits limits_of(DType cache_type) {
  ExecutionLimits limits;
  limits.max_tokens = 128;
  limits.block_tokens = 16;
  limits.cache_type = cache_type;
  return limits;
}

// A prompt and the cache blocks that its sequence may use.
struct Prompt {
  std::vector<int32_t> tokens;
  std::vector<int32_t> blocks;
};

inline std::vector<Prompt> random_prompts(uint64_t seed) {
  Random random(seed);
  std::vector<Prompt> prompts;
  int32_t block = 0;
  for (const int64_t length : {40, 1, 23}) {
    Prompt prompt;
    for (int64_t i = 0; i < length; ++i) {
      prompt.tokens.push_back(static_cast<int32_t>(random.between(0, kVocabulary - 1)));
    }
    for (int64_t i = 0; i < ceil_div(length, 16); ++i) prompt.blocks.push_back(block++);
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

// The logits of every token, [token][vocabulary] a prompt; all prompts advance together in steps of
// up to `chunk` tokens.
inline std::vector<std::vector<float>> run_all(Executable& executable,
                                               std::span<const Prompt> prompts, size_t chunk) {
  std::vector<std::vector<float>> logits(prompts.size());
  for (size_t begin = 0;; begin += chunk) {
    std::vector<int32_t> tokens;
    std::vector<int32_t> positions;
    std::vector<int32_t> outputs;
    std::vector<BatchSequence> sequences;
    std::vector<size_t> owners;
    for (size_t p = 0; p < prompts.size(); ++p) {
      const size_t end = std::min(begin + chunk, prompts[p].tokens.size());
      if (begin >= end) continue;
      sequences.push_back({static_cast<int32_t>(tokens.size()), static_cast<int32_t>(end - begin),
                           static_cast<int32_t>(end), prompts[p].blocks});
      for (size_t i = begin; i < end; ++i) {
        outputs.push_back(static_cast<int32_t>(tokens.size()));
        tokens.push_back(prompts[p].tokens[i]);
        positions.push_back(static_cast<int32_t>(i));
        owners.push_back(p);
      }
    }
    if (tokens.empty()) return logits;
    const auto result = executable.run({tokens, positions, sequences, outputs});
    EXPECT_TRUE(result.has_value());
    for (size_t i = 0; i < owners.size(); ++i) {
      const auto row = result->subspan(i * kVocabulary, kVocabulary);
      logits[owners[i]].insert(logits[owners[i]].end(), row.begin(), row.end());
    }
  }
}

}  // namespace lotse
