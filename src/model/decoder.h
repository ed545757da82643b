// The layers that decoder families share. A family's forward reads as a list of these.
#pragma once

#include <string>

#include "device/ops.h"
#include "model/config.h"

namespace lotse {

// How a family's query and key heads are normalised before the rotary embedding.
enum class QkNorm : uint8_t { none, per_head, full_width };

// Where the families differ; everything else is in ModelConfig.
struct DecoderStyle {
  QkNorm qk_norm = QkNorm::none;
  float norm_offset = 0;           // gemma: norms multiply by 1 + weight
  bool fused_projections = false;  // phi3: qkv_proj and gate_up_proj in one tensor
  const char* moe_prefix = "mlp";  // mixtral: block_sparse_moe
  const char* expert_gate = "gate_proj";
  const char* expert_up = "up_proj";
  const char* expert_down = "down_proj";
};

// What a forward ends in; see Program.
struct ForwardResults {
  ValueId logits;  // kNone where the configuration has no head
  ValueId hidden;
};

// Records one decoder, layer by layer, under Hugging Face's tensor names.
class Decoder {
 public:
  // `ropes`: the table of full layers, and that of sliding layers (the same where there is one).
  Decoder(Ops& ops, const ModelConfig& config, DecoderStyle style, RopeTable full,
          RopeTable sliding);

  ValueId embed();
  void begin_layer(int64_t layer);
  // RMS norm of the whole row by the current layer's `tensor`.
  ValueId norm(const char* name, const char* tensor, ValueId in);
  ValueId attention(ValueId in);
  // The gated MLP, or the mixture of experts where the configuration says so.
  ValueId mlp(ValueId in);
  ValueId add(const char* name, ValueId a, ValueId b) { return ops_.add(name, a, b); }
  // Rows wanted, final norm, output projection, final soft cap.
  ForwardResults results(ValueId in);

 private:
  std::string tensor(const std::string& suffix) const { return prefix_ + suffix; }
  void norm_queries_and_keys(ValueId qkv);
  ValueId moe(ValueId in);

  Ops& ops_;
  const ModelConfig& config_;
  DecoderStyle style_;
  RopeId full_rope_;
  RopeId sliding_rope_;
  size_t layer_ = 0;
  std::string prefix_;
};

}  // namespace lotse
