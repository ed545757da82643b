// GGUF's tensor names and layouts in Hugging Face's terms, as rows of data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lotse {

// The model families that can be read from GGUF, by Hugging Face's model_type.
enum class GgufFamily {
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3_moe,
  phi3,
  gemma2,
  gemma3,
  olmo2
};

// What the converter to GGUF did to a tensor, to be undone.
enum class GgufLayout {
  plain,
  query,       // rows of each query head reordered to rotate neighbours
  key,         // the same for the key heads
  norm,        // Gemma stores 1 + w
  experts,     // [experts, rows, columns]: one matrix an expert in Hugging Face's layout
  rope_table,  // rotary factors, which belong to the config
};

// Where a GGUF tensor goes.
struct GgufPlace {
  std::string_view hf_pattern;  // below the layer, with "{expert}" still in it
  std::string_view suffix;      // ".weight" or ".bias", with the dot
  int64_t layer = -1;           // -1 outside the layers
  GgufLayout layout = GgufLayout::plain;

  std::string hf_name(int64_t expert = 0) const;
};

// The place of `name` in a family of `layers` layers; nothing when the family has no such tensor.
std::optional<GgufPlace> place_gguf_tensor(GgufFamily family, int64_t layers,
                                           std::string_view name);

}  // namespace lotse
