#include "checkpoint/gguf_names.h"

#include <fmt/format.h>

#include <charconv>
#include <span>

namespace lotse {
namespace {

constexpr unsigned bit(GgufFamily family) { return 1u << static_cast<unsigned>(family); }

// Sets of families.
constexpr unsigned kAll = ~0u;
constexpr unsigned kLlama =
    bit(GgufFamily::llama) | bit(GgufFamily::mistral) | bit(GgufFamily::mixtral);
constexpr unsigned kGemma = bit(GgufFamily::gemma2) | bit(GgufFamily::gemma3);
constexpr unsigned kOlmo2 = bit(GgufFamily::olmo2);
constexpr unsigned kPhi3 = bit(GgufFamily::phi3);
constexpr unsigned kMixtral = bit(GgufFamily::mixtral);
constexpr unsigned kQwen3Moe = bit(GgufFamily::qwen3_moe);
constexpr unsigned kQkNorm = bit(GgufFamily::qwen3) | kQwen3Moe | kOlmo2;

struct Row {
  unsigned families;
  std::string_view gguf;  // without "blk.N." and without ".weight" or ".bias"
  std::string_view hf;
  GgufLayout layout = GgufLayout::plain;
};

// The first row that fits decides.
constexpr Row kOutsideLayers[] = {
    {kAll, "token_embd", "model.embed_tokens"},
    {kGemma, "output_norm", "model.norm", GgufLayout::norm},
    {kAll, "output_norm", "model.norm"},
    {kAll, "output", "lm_head"},
    {kAll, "rope_freqs", "", GgufLayout::rope_table},
    {kPhi3, "rope_factors_long", "", GgufLayout::rope_table},
    {kPhi3, "rope_factors_short", "", GgufLayout::rope_table},
};

constexpr Row kInLayer[] = {
    {kGemma, "attn_norm", "input_layernorm", GgufLayout::norm},
    {kAll & ~kOlmo2, "attn_norm", "input_layernorm"},
    {kLlama, "attn_q", "self_attn.q_proj", GgufLayout::query},
    {kLlama, "attn_k", "self_attn.k_proj", GgufLayout::key},
    {kPhi3, "attn_qkv", "self_attn.qkv_proj"},
    {kAll & ~kPhi3, "attn_q", "self_attn.q_proj"},
    {kAll & ~kPhi3, "attn_k", "self_attn.k_proj"},
    {kAll & ~kPhi3, "attn_v", "self_attn.v_proj"},
    {kAll, "attn_output", "self_attn.o_proj"},
    {kGemma, "attn_q_norm", "self_attn.q_norm", GgufLayout::norm},
    {kGemma, "attn_k_norm", "self_attn.k_norm", GgufLayout::norm},
    {kQkNorm, "attn_q_norm", "self_attn.q_norm"},
    {kQkNorm, "attn_k_norm", "self_attn.k_norm"},
    {kGemma, "post_attention_norm", "post_attention_layernorm", GgufLayout::norm},
    {kGemma, "ffn_norm", "pre_feedforward_layernorm", GgufLayout::norm},
    {kGemma, "post_ffw_norm", "post_feedforward_layernorm", GgufLayout::norm},
    {kOlmo2, "post_attention_norm", "post_attention_layernorm"},
    {kOlmo2, "post_ffw_norm", "post_feedforward_layernorm"},
    {kAll & ~kOlmo2, "ffn_norm", "post_attention_layernorm"},
    {kMixtral, "ffn_gate_inp", "block_sparse_moe.gate"},
    {kMixtral, "ffn_gate_exps", "block_sparse_moe.experts.{expert}.w1", GgufLayout::experts},
    {kMixtral, "ffn_down_exps", "block_sparse_moe.experts.{expert}.w2", GgufLayout::experts},
    {kMixtral, "ffn_up_exps", "block_sparse_moe.experts.{expert}.w3", GgufLayout::experts},
    {kQwen3Moe, "ffn_gate_inp", "mlp.gate"},
    {kQwen3Moe, "ffn_gate_exps", "mlp.experts.{expert}.gate_proj", GgufLayout::experts},
    {kQwen3Moe, "ffn_down_exps", "mlp.experts.{expert}.down_proj", GgufLayout::experts},
    {kQwen3Moe, "ffn_up_exps", "mlp.experts.{expert}.up_proj", GgufLayout::experts},
    {kPhi3, "ffn_up", "mlp.gate_up_proj"},
    {kAll & ~kPhi3 & ~kMixtral, "ffn_gate", "mlp.gate_proj"},
    {kAll & ~kPhi3 & ~kMixtral, "ffn_up", "mlp.up_proj"},
    {kAll & ~kMixtral, "ffn_down", "mlp.down_proj"},
};

// The N of "blk.N.", removed from the front of `name`; nothing when the name is not of that form.
std::optional<int64_t> take_layer(std::string_view& name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  int64_t layer = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 4, end, layer);
  if (error != std::errc() || stop == end || *stop != '.' || layer < 0) return std::nullopt;
  name.remove_prefix(static_cast<size_t>(stop + 1 - name.data()));
  return layer;
}

}  // namespace

std::optional<GgufPlace> place_gguf_tensor(GgufFamily family, int64_t layers,
                                           std::string_view name) {
  const std::optional<int64_t> layer = take_layer(name);
  if (layer && *layer >= layers) return std::nullopt;
  std::string_view suffix;
  for (const std::string_view known : {".weight", ".bias"}) {
    if (name.ends_with(known)) suffix = known;
  }
  name.remove_suffix(suffix.size());
  const std::span<const Row> rows =
      layer ? std::span<const Row>(kInLayer) : std::span<const Row>(kOutsideLayers);
  for (const Row& row : rows) {
    if (suffix.empty() || row.gguf != name || (row.families & bit(family)) == 0) continue;
    return GgufPlace{row.hf, suffix, layer.value_or(-1), row.layout};
  }
  return std::nullopt;
}

std::string GgufPlace::hf_name(int64_t expert) const {
  const std::string path = fmt::format(fmt::runtime(hf_pattern), fmt::arg("expert", expert));
  return layer < 0 ? fmt::format("{}{}", path, suffix)
                   : fmt::format("model.layers.{}.{}{}", layer, path, suffix);
}

}  // namespace lotse
