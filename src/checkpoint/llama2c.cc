#include "checkpoint/llama2c.h"

#include <array>

#include "checkpoint/byte_reader.h"
#include "checkpoint/rotary_rows.h"

namespace lotse {
namespace {

struct Header {
  int32_t dim, hidden_dim, layers, heads, kv_heads, vocab_size, context;
};

constexpr int32_t kMaxLayers = 4096;
constexpr int32_t kMaxWidth = 1 << 20;

// One kind of weight in file order, repeated over the layers when its name is a layer's.
struct Kind {
  const char* name;
  bool in_layer;
  bool is_skipped;  // tables that the model computes itself
  int64_t rows;     // 0 for a vector
  int64_t columns;
  int64_t rotary_heads;  // 0 where rows are in Hugging Face's order
};

std::vector<Kind> kinds(const Header& h) {
  const int64_t dim = h.dim;
  const int64_t kv_dim = dim / h.heads * h.kv_heads;
  const int64_t vocab = std::abs(h.vocab_size);
  const int64_t half_head = dim / h.heads / 2;
  std::vector<Kind> all = {
      {"model.embed_tokens", false, false, vocab, dim, 0},
      {"input_layernorm", true, false, 0, dim, 0},
      {"self_attn.q_proj", true, false, dim, dim, h.heads},
      {"self_attn.k_proj", true, false, kv_dim, dim, h.kv_heads},
      {"self_attn.v_proj", true, false, kv_dim, dim, 0},
      {"self_attn.o_proj", true, false, dim, dim, 0},
      {"post_attention_layernorm", true, false, 0, dim, 0},
      {"mlp.gate_proj", true, false, h.hidden_dim, dim, 0},
      {"mlp.down_proj", true, false, dim, h.hidden_dim, 0},
      {"mlp.up_proj", true, false, h.hidden_dim, dim, 0},
      {"model.norm", false, false, 0, dim, 0},
      {"rotary cosines", false, true, h.context, half_head, 0},
      {"rotary sines", false, true, h.context, half_head, 0},
  };
  if (h.vocab_size < 0) all.push_back({"lm_head", false, false, vocab, dim, 0});
  return all;
}

bool is_plausible(const Header& h) {
  const auto within = [](int32_t value, int32_t high) { return value >= 1 && value <= high; };
  return within(h.dim, kMaxWidth) && within(h.hidden_dim, kMaxWidth) &&
         within(h.layers, kMaxLayers) && within(h.heads, h.dim) && within(h.kv_heads, h.heads) &&
         h.vocab_size >= -kMaxWidth && within(std::abs(h.vocab_size), kMaxWidth) &&
         within(h.context, kMaxWidth) && h.dim % h.heads == 0 && h.dim / h.heads % 2 == 0 &&
         h.heads % h.kv_heads == 0;
}

// Bytes of the whole file; the widths that is_plausible() allows cannot overflow it.
int64_t file_size(const Header& h) {
  int64_t size = sizeof(Header);
  for (const Kind& kind : kinds(h)) {
    const int64_t copies = kind.in_layer ? h.layers : 1;
    size += copies * std::max<int64_t>(kind.rows, 1) * kind.columns * 4;
  }
  return size;
}

Json make_config(const Header& h) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", h.dim},
          {"intermediate_size", h.hidden_dim},
          {"num_hidden_layers", h.layers},
          {"num_attention_heads", h.heads},
          {"num_key_value_heads", h.kv_heads},
          {"head_dim", h.dim / h.heads},
          {"vocab_size", std::abs(h.vocab_size)},
          {"max_position_embeddings", h.context},
          {"tie_word_embeddings", h.vocab_size > 0},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"torch_dtype", "float32"}};
}

}  // namespace

Result<Llama2cCheckpoint> read_llama2c(std::span<const std::byte> bytes,
                                       const std::shared_ptr<const void>& owner,
                                       std::string_view origin) {
  ByteReader in(bytes);
  const std::optional<Header> header = in.take<Header>();
  if (!header || !is_plausible(*header) ||
      file_size(*header) != static_cast<int64_t>(bytes.size())) {
    return fail(ErrorCode::invalid_input,
                "{}: neither a PyTorch checkpoint (a zip file) nor a llama2.c checkpoint, whose "
                "header gives the file's exact size",
                origin);
  }
  Llama2cCheckpoint checkpoint{make_config(*header), {}};
  for (const Kind& kind : kinds(*header)) {
    const Shape shape = kind.rows == 0 ? Shape({kind.columns}) : Shape({kind.rows, kind.columns});
    const int64_t size = shape.elements().value() * 4;
    for (int64_t layer = 0; layer < (kind.in_layer ? header->layers : 1); ++layer) {
      const auto data = in.take_bytes(static_cast<uint64_t>(size)).value();
      if (kind.is_skipped) continue;
      std::string name = kind.in_layer ? fmt::format("model.layers.{}.{}.weight", layer, kind.name)
                                       : fmt::format("{}.weight", kind.name);
      StoredTensor tensor{
          {std::move(name), DType::f32, shape, size, std::string(origin)}, data, owner, {}};
      if (const int64_t heads = kind.rotary_heads; heads > 0) {
        tensor.prepare = [heads](const Tensor& stored) {
          return restore_rotary_rows(stored, heads);
        };
      }
      checkpoint.tensors.push_back(std::move(tensor));
    }
  }
  return checkpoint;
}

}  // namespace lotse
