// A decoder's configuration, as all families share it: read from config.json, checked, in the
// field's own terms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "device/program.h"

namespace lotse {

// Rotary position embedding: `rope_theta` with `rope_scaling`, or the newer `rope_parameters`.
struct RopeConfig {
  std::string type = "default";  // default, linear, dynamic, yarn, llama3, longrope
  double theta = 10000;
  double factor = 1;
  double partial = 1;            // share of head_dim that is rotated
  int64_t original_context = 0;  // positions the model was first trained on; 0: max_context
  std::optional<double> attention_factor;
  double beta_fast = 32, beta_slow = 1, mscale = 0, mscale_all_dim = 0;  // yarn
  bool truncate = true;                                                  // yarn
  double low_frequency_factor = 1, high_frequency_factor = 4;            // llama3
  std::vector<double> short_factor, long_factor;                         // longrope
};

// Mixture of experts; experts is 0 in a dense model.
struct MoeConfig {
  int64_t experts = 0;
  int64_t top_k = 0;
  int64_t width = 0;            // intermediate size of one expert
  bool normalise = true;        // the chosen experts' shares sum to 1
  std::vector<bool> is_sparse;  // of each layer
};

struct ModelConfig {
  std::string model_type;    // as in config.json
  std::string architecture;  // "LlamaForCausalLM", may be empty
  std::string dtype;         // "bfloat16", "float16", "float32", or empty
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate = 0;
  int64_t max_context = 0;  // max_position_embeddings
  float norm_epsilon = 1e-6f;
  Activation activation = Activation::silu;
  bool tied_embeddings = false;
  bool is_encoder = false;     // attends both ways and writes nothing
  int64_t first_position = 0;  // of an encoder: its table's row of position 0
  int64_t token_types = 0;     // of an encoder
  bool has_head = true;        // that makes logits; false: hidden states only
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  std::vector<int64_t> window;  // of each layer; 0: full attention
  RopeConfig rope;
  std::optional<RopeConfig> local_rope;  // for sliding layers, where they have their own
  float embedding_scale = 1;
  float attention_scale = 0;  // 1/sqrt(head_dim) unless a family says otherwise
  float attention_softcap = 0;
  float final_softcap = 0;
  MoeConfig moe;
  std::vector<int64_t> eos;  // ids that end generation; may be empty
  std::optional<int64_t> bos;
};

// The fields that every family has. Families adjust the result; see family.h. Errors name the
// field.
Result<ModelConfig> read_common_config(const JsonFields& fields);

// `rope_theta` + `rope_scaling` or `rope_parameters` of `fields`; `theta` is the family's default.
Result<RopeConfig> read_rope(const JsonFields& fields, double theta);

// One ids field that may be absent, a number or a list: `eos_token_id`.
Result<std::vector<int64_t>> read_token_ids(const JsonFields& fields, const char* key);

// `layer_types` when present, else what `is_sliding(layer)` says, with `sliding_window` positions.
Result<std::vector<int64_t>> read_windows(const JsonFields& fields, int64_t layers,
                                          int64_t sliding_window,
                                          bool (*is_sliding)(int64_t layer));

}  // namespace lotse
