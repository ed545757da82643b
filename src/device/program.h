// What a model is to everything behind it: a flat list of operators over two-dimensional values.
//
// A model family's forward records a Program once (see ops.h). A device executes it, `inspect`
// checks it against a chip's rules, `verify` traces it, `plan` sums its cost. Nothing in it depends
// on how many tokens a step has: the rows of a value are symbolic.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace lotse {

using ValueId = int32_t;
using WeightId = int32_t;
using RopeId = int32_t;
inline constexpr int32_t kNone = -1;

// How many rows a value has in one step: one a token of the batch, or one a row whose logits the
// caller asked for.
enum class Rows : uint8_t { tokens, outputs };

// An activation [rows, columns], row-major.
struct Value {
  Rows rows;
  int64_t columns;
};

enum class WeightRole : uint8_t {
  matrix,   // [rows, columns] of a linear: output features × input features
  table,    // [rows, columns] of an embedding
  vector,   // [columns]: norm weights, biases, sinks; always computed with in fp32
  experts,  // `experts` matrices stacked along rows
};

// A weight as the forward names it: tensors of the checkpoint concatenated along their rows.
struct WeightDecl {
  std::vector<std::string> sources;  // checkpoint tensor names, without quantisation suffixes
  WeightRole role;
  int64_t rows;  // of all sources together; 1 for a vector
  int64_t columns;
  int64_t experts = 1;
  float offset = 0;  // added to every element of a vector (gemma stores w, computes with 1 + w)
};

// Rotary frequencies: the angle of pair i at position p is p · inverse_frequency[i]; cosine and
// sine are multiplied by `scale` (YaRN's and LongRoPE's attention factor).
struct RopeTable {
  std::vector<float> inverse_frequency;
  float scale = 1;
};

enum class Activation : uint8_t { silu, gelu_tanh, gelu_erf };

// What an embedding's rows are chosen by.
enum class EmbedBy : uint8_t {
  token,
  position,  // of the token in its sequence
  nothing,   // every token gets the same row
};

// out[t] = table[first_row + index] · scale, where the index is t's token or position, or 0.
struct Embed {
  WeightId table;
  ValueId out;
  float scale;
  EmbedBy by = EmbedBy::token;
  int64_t first_row = 0;
};

// out = in · weightᵀ + bias. The weight's format decides the arithmetic: see docs/numerics.md.
struct Linear {
  ValueId in;
  WeightId weight;
  WeightId bias;  // kNone without
  ValueId out;
};

// Root-mean-square norm of `groups` adjacent column groups of `width` each, from `first_column` on:
// out = in / sqrt(mean(in²) + epsilon) · weight, weight having `width` elements. A layer norm over
// the whole row has groups = 1; q and k norms work on heads. In place when in == out; columns
// outside the groups are only kept when in place.
struct RmsNorm {
  ValueId in;
  WeightId weight;
  ValueId out;
  float epsilon;
  int64_t first_column;
  int64_t groups;
  int64_t width;
};

// out = (in − mean(in)) / sqrt(variance(in) + epsilon) · weight + bias, over the whole row.
struct LayerNorm {
  ValueId in;
  WeightId weight;
  WeightId bias;
  ValueId out;
  float epsilon;
};

// Rotates, in place, the first 2 · |inverse_frequency| columns of each of `heads` adjacent heads.
struct Rope {
  ValueId value;
  RopeId table;
  int64_t first_column;
  int64_t heads;
  int64_t head_dim;
  bool interleaved;  // pairs (2i, 2i+1) when true, (i, i + half) when false
};

// Causal attention of one layer over the paged cache. `qkv` holds [heads | kv_heads | kv_heads] ·
// head_dim columns; the step's k and v are written to the cache first, then every query at position
// p attends to keys in (p − window, p], or to all up to p when window is 0.
// score = softcap · tanh(q·k · scale / softcap), without the cap when softcap is 0.
struct Attention {
  ValueId qkv;
  ValueId out;  // heads · head_dim columns
  int32_t cache_layer;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  float scale;
  float softcap;
  int64_t window;
};

// Attention of an encoder (Devlin et al. 2018): `qkv` holds [heads | heads | heads] · head_dim
// columns, and every token attends to all of its own sequence. Nothing is cached, so a sequence
// must be in one step as a whole. score = q·k · scale.
struct BidirectionalAttention {
  ValueId qkv;
  ValueId out;  // heads · head_dim columns
  int64_t heads;
  int64_t head_dim;
  float scale;
};

// out = activation(in).
struct Activate {
  ValueId in;
  ValueId out;
  Activation activation;
};

// out = activation(gate) · up, where `in` holds [gate | up].
struct GatedActivation {
  ValueId in;
  ValueId out;
  Activation activation;
};

// out = a + b.
struct Add {
  ValueId a;
  ValueId b;
  ValueId out;
};

// Keeps the rows whose logits are wanted: from Rows::tokens to Rows::outputs.
struct GatherRows {
  ValueId in;
  ValueId out;
};

// In place: value = cap · tanh(value / cap).
struct Softcap {
  ValueId value;
  float cap;
};

// Mixture of experts: softmax over router · in, the top_k largest (the lower index wins a tie),
// their shares re-normalised to sum 1 when `normalise`; out = Σ share · down(act(gate) · up).
struct Moe {
  ValueId in;
  WeightId router;   // [experts, columns]
  WeightId gate_up;  // experts × [2 · width, columns]
  WeightId down;     // experts × [columns, width]
  ValueId out;
  int64_t experts;
  int64_t top_k;
  int64_t width;
  bool normalise;
  Activation activation;
};

// In place, for the rows of sequences that use `adapter`:
// out[:, first_column …] += scale · (in · downᵀ) · upᵀ. Low-rank adaptation, Hu et al. 2021.
struct LowRank {
  ValueId in;
  WeightId down;  // [rank, columns of in]
  WeightId up;    // [columns of its part of out, rank]
  ValueId out;    // Rows::tokens
  int64_t first_column;
  float scale;
  int32_t adapter;  // from 1 on
};

// In place: the sum of the value over all ranks of a group, on each of them. Every rank gets the
// same bits.
struct AllReduce {
  ValueId value;
};

// out = [in of rank 0 | in of rank 1 | …], on each rank.
struct AllGather {
  ValueId in;
  ValueId out;
};

using Operation = std::variant<Embed, Linear, RmsNorm, LayerNorm, Rope, Attention,
                               BidirectionalAttention, GatedActivation, Activate, Add, GatherRows,
                               Softcap, Moe, LowRank, AllReduce, AllGather>;

struct Op {
  Operation operation;
  int32_t layer;     // decoder layer, kNone before and after the layers
  std::string name;  // "layers.3.attention", for tables and traces
};

// Keys and values of one attention layer in the cache.
struct CacheLayer {
  int64_t kv_heads;
  int64_t head_dim;
  int64_t window;  // 0: the whole context
};

struct Program {
  std::vector<Value> values;
  std::vector<WeightDecl> weights;
  std::vector<RopeTable> ropes;
  std::vector<CacheLayer> cache_layers;
  std::vector<Op> ops;
  int32_t adapters = 0;  // that sequences may ask for by number, from 1 on
  // The results, Rows::outputs × vocabulary and Rows::outputs × hidden; at least one of them. The
  // hidden states are those after the last norm, from which the logits are made.
  ValueId logits = kNone;
  ValueId hidden = kNone;
};

// Whether only a device that is in a group can run it: see device/walk/shard.h.
bool has_collectives(const Program& program);

// Whether its sequences must be in one step as a whole.
bool needs_whole_sequences(const Program& program);

// "linear", "rms_norm", …: the operator's name in tables, chip profiles and messages.
const char* kind_name(const Operation& operation);
// The value that the operator writes.
ValueId output_of(const Operation& operation);
// The values that it reads (an in-place operator reads what it writes).
std::vector<ValueId> inputs_of(const Operation& operation);
// The weights that it uses.
std::vector<WeightId> weights_of(const Operation& operation);
// The operators from the first to the last that writes `result`.
std::span<const Op> operators_until(const Program& program, ValueId result);

}  // namespace lotse
