// A model family: one file under families/ that reads a configuration and records a forward.
// docs/adding-a-family.md walks through one.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/decoder.h"

namespace lotse {

struct Family {
  std::string_view model_type;  // config.json's field
  std::string_view title;       // for people: "Qwen3"
  // Reads and checks a configuration of this family.
  Result<ModelConfig> (*read_config)(const JsonFields& fields);
  // Of a decoder: records all layers and returns what they end in. Never fails: read_config has
  // checked everything.
  ForwardResults (*forward)(Decoder& decoder, const ModelConfig& config);
  DecoderStyle style;
  // Of an encoder, instead of `forward`: records all layers and returns the hidden states.
  ValueId (*encode)(Ops& ops, const ModelConfig& config) = nullptr;
};

// All families, in the order in which they are listed to people.
std::span<const Family> families();

// The family of a model_type, nullptr when there is none.
const Family* find_family(std::string_view model_type);

// Each family's rows, defined in its own file.
namespace family {
extern const Family bert, roberta, xlm_roberta;
extern const Family llama, mistral, qwen2, qwen3, qwen3_moe, phi3, gemma2, gemma3, olmo2, mixtral;
}  // namespace family

// Shared forward of pre-norm decoders (llama and its kin).
ForwardResults pre_norm_forward(Decoder& decoder, const ModelConfig& config);

}  // namespace lotse
