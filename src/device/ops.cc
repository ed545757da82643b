#include "device/ops.h"

#include <fmt/core.h>

#include "base/result.h"

namespace lotse {

WeightId Ops::declare(WeightDecl weight) {
  program_.weights.push_back(std::move(weight));
  return static_cast<WeightId>(program_.weights.size()) - 1;
}

ValueId Ops::value(Rows rows, int64_t columns) {
  LOTSE_CHECK(columns > 0);
  program_.values.push_back({rows, columns});
  return static_cast<ValueId>(program_.values.size()) - 1;
}

void Ops::record(const Operation& operation, const char* name) {
  std::string full = layer_ == kNone ? name : fmt::format("layers.{}.{}", layer_, name);
  program_.ops.push_back({operation, layer_, std::move(full)});
}

WeightId Ops::matrix(std::vector<std::string> sources, int64_t rows, int64_t columns) {
  return declare({std::move(sources), WeightRole::matrix, rows, columns});
}

WeightId Ops::experts(std::vector<std::string> sources, int64_t experts, int64_t rows_each,
                      int64_t columns) {
  return declare({std::move(sources), WeightRole::experts, experts * rows_each, columns, experts});
}

WeightId Ops::vector(std::vector<std::string> sources, int64_t columns, float offset) {
  return declare({std::move(sources), WeightRole::vector, 1, columns, 1, offset});
}

RopeId Ops::rope_table(RopeTable table) {
  program_.ropes.push_back(std::move(table));
  return static_cast<RopeId>(program_.ropes.size()) - 1;
}

ValueId Ops::embed(const std::string& table, int64_t vocabulary, int64_t columns, float scale) {
  const WeightId weight = declare({{table}, WeightRole::table, vocabulary, columns});
  const ValueId out = value(Rows::tokens, columns);
  record(Embed{weight, out, scale}, "embed");
  return out;
}

ValueId Ops::embed_by(const char* name, EmbedBy by, int64_t first_row, const std::string& table,
                      int64_t rows, int64_t columns) {
  LOTSE_CHECK(first_row >= 0 && first_row < rows);
  const WeightId weight = declare({{table}, WeightRole::table, rows, columns});
  const ValueId out = value(Rows::tokens, columns);
  record(Embed{weight, out, 1, by, first_row}, name);
  return out;
}

ValueId Ops::linear(const char* name, ValueId in, WeightId weight, WeightId bias) {
  LOTSE_CHECK(decl(weight).columns == at(in).columns);
  LOTSE_CHECK(bias == kNone || decl(bias).columns == decl(weight).rows);
  const ValueId out = value(at(in).rows, decl(weight).rows);
  record(Linear{in, weight, bias, out}, name);
  return out;
}

ValueId Ops::rms_norm(const char* name, ValueId in, WeightId weight, float epsilon) {
  const int64_t width = at(in).columns;
  LOTSE_CHECK(decl(weight).columns == width);
  const ValueId out = value(at(in).rows, width);
  record(RmsNorm{in, weight, out, epsilon, 0, 1, width}, name);
  return out;
}

ValueId Ops::layer_norm(const char* name, ValueId in, WeightId weight, WeightId bias,
                        float epsilon) {
  const int64_t width = at(in).columns;
  LOTSE_CHECK(decl(weight).columns == width && decl(bias).columns == width);
  const ValueId out = value(at(in).rows, width);
  record(LayerNorm{in, weight, bias, out, epsilon}, name);
  return out;
}

void Ops::rms_norm_groups(const char* name, ValueId in, WeightId weight, float epsilon,
                          int64_t first_column, int64_t groups, int64_t width) {
  LOTSE_CHECK(decl(weight).columns == width && first_column + groups * width <= at(in).columns);
  record(RmsNorm{in, weight, in, epsilon, first_column, groups, width}, name);
}

void Ops::rope(const char* name, ValueId in, RopeId table, int64_t first_column, int64_t heads,
               int64_t head_dim, bool interleaved) {
  const auto& frequencies = program_.ropes[static_cast<size_t>(table)].inverse_frequency;
  LOTSE_CHECK(static_cast<int64_t>(frequencies.size()) * 2 <= head_dim);
  LOTSE_CHECK(first_column + heads * head_dim <= at(in).columns);
  record(Rope{in, table, first_column, heads, head_dim, interleaved}, name);
}

ValueId Ops::attention(ValueId qkv, const AttentionShape& s) {
  LOTSE_CHECK(at(qkv).columns == (s.heads + 2 * s.kv_heads) * s.head_dim);
  LOTSE_CHECK(s.heads % s.kv_heads == 0);
  program_.cache_layers.push_back({s.kv_heads, s.head_dim, s.window});
  const auto cache_layer = static_cast<int32_t>(program_.cache_layers.size()) - 1;
  const ValueId out = value(at(qkv).rows, s.heads * s.head_dim);
  record(Attention{qkv, out, cache_layer, s.heads, s.kv_heads, s.head_dim, s.scale, s.softcap,
                   s.window},
         "attention");
  return out;
}

ValueId Ops::bidirectional_attention(ValueId qkv, int64_t heads, int64_t head_dim, float scale) {
  LOTSE_CHECK(at(qkv).columns == 3 * heads * head_dim && at(qkv).rows == Rows::tokens);
  const ValueId out = value(Rows::tokens, heads * head_dim);
  record(BidirectionalAttention{qkv, out, heads, head_dim, scale}, "attention");
  return out;
}

ValueId Ops::activate(ValueId in, Activation activation) {
  const ValueId out = value(at(in).rows, at(in).columns);
  record(Activate{in, out, activation}, "activation");
  return out;
}

ValueId Ops::gated_activation(ValueId gate_up, Activation activation) {
  LOTSE_CHECK(at(gate_up).columns % 2 == 0);
  const ValueId out = value(at(gate_up).rows, at(gate_up).columns / 2);
  record(GatedActivation{gate_up, out, activation}, "activation");
  return out;
}

ValueId Ops::add(const char* name, ValueId a, ValueId b) {
  LOTSE_CHECK(at(a).rows == at(b).rows && at(a).columns == at(b).columns);
  const ValueId out = value(at(a).rows, at(a).columns);
  record(Add{a, b, out}, name);
  return out;
}

ValueId Ops::gather_rows(ValueId in) {
  LOTSE_CHECK(at(in).rows == Rows::tokens);
  const ValueId out = value(Rows::outputs, at(in).columns);
  record(GatherRows{in, out}, "gather_rows");
  return out;
}

void Ops::softcap(ValueId in, float cap) { record(Softcap{in, cap}, "softcap"); }

ValueId Ops::moe(ValueId in, const MoeShape& s) {
  const ValueId out = value(at(in).rows, at(in).columns);
  record(Moe{in, s.router, s.gate_up, s.down, out, s.experts, s.top_k, s.width, s.normalise,
             s.activation},
         "moe");
  return out;
}

Program Ops::finish(ValueId logits, ValueId hidden) {
  LOTSE_CHECK(logits != kNone || hidden != kNone);
  for (const ValueId result : {logits, hidden}) {
    LOTSE_CHECK(result == kNone || at(result).rows == Rows::outputs);
  }
  program_.logits = logits;
  program_.hidden = hidden;
  return std::move(program_);
}

}  // namespace lotse
