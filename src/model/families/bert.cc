// Encoders for embeddings: BERT (Devlin et al. 2018), and RoBERTa and XLM-R, which count positions
// from behind the padding token (Liu et al. 2019, Conneau et al. 2019). Norms stand after each
// branch, every linear has a bias, positions are learnt.
#include <fmt/core.h>

#include "model/family.h"

namespace lotse::family {
namespace {

constexpr int64_t kMaxTypes = 1 << 16;
constexpr int64_t kMaxPadding = 1 << 16;

Result<ModelConfig> read_encoder(const JsonFields& fields, int64_t first_position) {
  ModelConfig c = LOTSE_TRY(read_common_config(fields));
  c.is_encoder = true;
  c.has_head = false;
  c.first_position = first_position;
  c.norm_epsilon = static_cast<float>(LOTSE_TRY(fields.positive_or("layer_norm_eps", 1e-12)));
  if (!fields.has("hidden_act")) c.activation = Activation::gelu_erf;
  c.token_types = LOTSE_TRY(fields.integer_or("type_vocab_size", 2, 1, kMaxTypes));
  const std::string positions = LOTSE_TRY(fields.string_or("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return fail(ErrorCode::unsupported,
                "{}: field \"position_embedding_type\": \"{}\" is not supported; only "
                "\"absolute\" is",
                fields.origin(), positions.substr(0, 64));
  }
  if (LOTSE_TRY(fields.boolean_or("is_decoder", false))) {
    return fail(ErrorCode::unsupported,
                "{}: field \"is_decoder\": BERT as a decoder is not supported", fields.origin());
  }
  if (c.kv_heads != c.heads || c.heads * c.head_dim != c.hidden) {
    return fail(ErrorCode::unsupported,
                "{}: fields \"num_key_value_heads\" and \"head_dim\": expected {} heads of {} in "
                "all, as hidden_size {} divides among num_attention_heads",
                fields.origin(), c.heads, c.hidden / c.heads, c.hidden);
  }
  const int64_t rows =
      LOTSE_TRY(fields.integer_or("max_position_embeddings", 512, 1, c.max_context));
  c.max_context = rows - first_position;
  if (c.max_context < 1) {
    return fail(ErrorCode::invalid_input,
                "{}: field \"max_position_embeddings\": {} leave no position, since the first {} "
                "are not used",
                fields.origin(), rows, first_position);
  }
  return c;
}

Result<ModelConfig> read_bert(const JsonFields& fields) { return read_encoder(fields, 0); }

Result<ModelConfig> read_roberta(const JsonFields& fields) {
  const int64_t padding = LOTSE_TRY(fields.integer_or("pad_token_id", 1, 0, kMaxPadding));
  return read_encoder(fields, padding + 1);
}

// Records one encoder, layer by layer, under Hugging Face's tensor names.
class Encoder {
 public:
  Encoder(Ops& ops, const ModelConfig& config) : ops_(ops), c_(config) {}

  ValueId record() {
    ValueId x = embed();
    for (int64_t layer = 0; layer < c_.layers; ++layer) {
      ops_.begin_layer(static_cast<int32_t>(layer));
      prefix_ = fmt::format("encoder.layer.{}.", layer);
      const ValueId mixed =
          linear("attention_output", "attention.output.dense", attention(x), c_.hidden, c_.hidden);
      x = norm("attention_norm", "attention.output.LayerNorm", ops_.add("attention_add", mixed, x));
      const ValueId wide = ops_.activate(
          linear("mlp_hidden", "intermediate.dense", x, c_.intermediate, c_.hidden), c_.activation);
      const ValueId fed = linear("mlp_output", "output.dense", wide, c_.hidden, c_.intermediate);
      x = norm("output_norm", "output.LayerNorm", ops_.add("output", fed, x));
    }
    ops_.begin_layer(kNone);
    return ops_.gather_rows(x);
  }

 private:
  ValueId embed() {
    prefix_ = "embeddings.";
    const ValueId words =
        ops_.embed("embeddings.word_embeddings.weight", c_.vocabulary, c_.hidden, 1);
    // Texts are single ones, so that every token is of the first type.
    const ValueId types =
        ops_.embed_by("embed_types", EmbedBy::nothing, 0, "embeddings.token_type_embeddings.weight",
                      c_.token_types, c_.hidden);
    const ValueId positions = ops_.embed_by("embed_positions", EmbedBy::position, c_.first_position,
                                            "embeddings.position_embeddings.weight",
                                            c_.first_position + c_.max_context, c_.hidden);
    const ValueId sum = ops_.add("embed_add", ops_.add("embed_add_types", words, types), positions);
    return norm("embed_norm", "LayerNorm", sum);
  }

  ValueId attention(ValueId in) {
    const auto sources = [&](const char* kind) {
      const std::string base = prefix_ + "attention.self.";
      return std::vector<std::string>{base + "query." + kind, base + "key." + kind,
                                      base + "value." + kind};
    };
    const WeightId weight = ops_.matrix(sources("weight"), 3 * c_.hidden, c_.hidden);
    const WeightId bias = ops_.vector(sources("bias"), 3 * c_.hidden);
    return ops_.bidirectional_attention(ops_.linear("qkv", in, weight, bias), c_.heads, c_.head_dim,
                                        c_.attention_scale);
  }

  ValueId linear(const char* name, const char* tensor, ValueId in, int64_t rows, int64_t columns) {
    const WeightId weight = ops_.matrix({prefix_ + tensor + ".weight"}, rows, columns);
    return ops_.linear(name, in, weight, ops_.vector({prefix_ + tensor + ".bias"}, rows));
  }

  ValueId norm(const char* name, const char* tensor, ValueId in) {
    const WeightId weight = ops_.vector({prefix_ + tensor + ".weight"}, c_.hidden);
    const WeightId bias = ops_.vector({prefix_ + tensor + ".bias"}, c_.hidden);
    return ops_.layer_norm(name, in, weight, bias, c_.norm_epsilon);
  }

  Ops& ops_;
  const ModelConfig& c_;
  std::string prefix_;
};

ValueId encode(Ops& ops, const ModelConfig& config) { return Encoder(ops, config).record(); }

}  // namespace

const Family bert{"bert", "BERT (embeddings)", read_bert, nullptr, {}, encode};
const Family roberta{"roberta", "RoBERTa (embeddings)", read_roberta, nullptr, {}, encode};
const Family xlm_roberta{"xlm-roberta", "XLM-R (embeddings)", read_roberta, nullptr, {}, encode};

}  // namespace lotse::family
