#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "device/ops.h"
#include "device/walk/shard.h"
#include "model/family.h"
#include "model/rope.h"

namespace lotse {
namespace {

// Levenshtein distance, for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

// Whether a configuration, of whatever family, routes tokens to experts.
bool has_experts(const Json& config) {
  return std::ranges::any_of(
      std::initializer_list<const char*>{"num_experts", "n_routed_experts", "num_local_experts"},
      [&](const char* key) { return config.contains(key) && !config[key].is_null(); });
}

// The supported family that a configuration of an unknown one has most in common with: as sparse,
// then another version of the name, else the plainest of its kind.
std::string_view closest_family(const Json& config, std::string_view model_type) {
  constexpr std::ptrdiff_t kSameName = 3;  // letters that two versions of one name share at least
  const std::string_view plainest = has_experts(config) ? "qwen3_moe" : "llama";
  const auto distance = [&](std::string_view name) {
    const bool is_sparse = name == "qwen3_moe" || name == "mixtral";
    const auto common = std::ranges::mismatch(name, model_type).in1 - name.begin();
    const auto shared = common >= kSameName ? common : 0;
    return std::tuple(is_sparse != has_experts(config), -shared,
                      shared > 0 ? edit_distance(name, model_type) : size_t{name != plainest});
  };
  return std::ranges::min_element(families(), {},
                                  [&](const Family& family) { return distance(family.model_type); })
      ->model_type;
}

std::unexpected<Error> unknown_family(const std::string& origin, const Json& config,
                                      const std::string& model_type) {
  const std::string_view shown = std::string_view(model_type).substr(0, 64);
  std::vector<std::string_view> names;
  for (const Family& family : families()) names.push_back(family.model_type);
  return fail(ErrorCode::unsupported,
              "{}: field \"model_type\": \"{}\" is not a supported family; supported are {}; the "
              "closest is {}",
              origin, shown, fmt::join(names, ", "), closest_family(config, shown));
}

}  // namespace

Result<ModelConfig> read_model_config(const Json& config, const std::string& origin) {
  if (!config.is_object()) {
    return fail(ErrorCode::invalid_input, "{}: expected an object with a model's configuration",
                origin);
  }
  const JsonFields fields(config, origin);
  const auto text = LOTSE_TRY(fields.object("text_config"));
  const JsonFields& inner = text ? *text : fields;
  const std::string fallback = LOTSE_TRY(fields.string_or("model_type", ""));
  const std::string type = LOTSE_TRY(inner.string_or("model_type", fallback));
  if (type.empty()) {
    return fail(ErrorCode::invalid_input, "{}: field \"model_type\" is missing", origin);
  }
  const Family* family = find_family(type);
  if (family == nullptr) return unknown_family(origin, inner.json(), type);
  ModelConfig result = LOTSE_TRY(family->read_config(inner));
  result.model_type = family->model_type;
  // "MistralModel", say: a checkpoint for embeddings, without a head.
  if (!text && result.architecture.ends_with("Model")) result.has_head = false;
  if (result.moe.experts * result.layers > 100'000) {
    return fail(ErrorCode::limit,
                "{}: {} layers of {} experts are beyond the limit of 100000 experts", origin,
                result.layers, result.moe.experts);
  }
  LOTSE_TRY(make_rope_table(result.rope, result.head_dim, result.max_context, result.max_context));
  return result;
}

Result<Program> record_program(const ModelConfig& config, int64_t context) {
  const Family* family = find_family(config.model_type);
  LOTSE_CHECK(family != nullptr);
  Ops ops;
  if (family->encode != nullptr) {
    const ValueId hidden = family->encode(ops, config);
    return ops.finish(kNone, hidden);
  }
  const auto table = [&](const RopeConfig& rope) {
    return make_rope_table(rope, config.head_dim, config.max_context, context);
  };
  Decoder decoder(ops, config, family->style, LOTSE_TRY(table(config.rope)),
                  LOTSE_TRY(table(config.local_rope.value_or(config.rope))));
  const ForwardResults results = family->forward(decoder, config);
  return ops.finish(results.logits, results.hidden);
}

Result<Model> load_model(const Checkpoint& checkpoint, int64_t context) {
  if (checkpoint.weights == nullptr) {
    return fail(ErrorCode::not_found, "{}: has a configuration but no weights",
                checkpoint.path.string());
  }
  Model model;
  model.config = LOTSE_TRY(read_model_config(checkpoint.config, checkpoint.config_origin));
  model.quantisation = LOTSE_TRY(read_quantisation(checkpoint.config, checkpoint.config_origin));
  const int64_t longest = model.config.max_context;
  model.context = context > 0 ? std::min(context, longest) : longest;
  model.program = LOTSE_TRY(record_program(model.config, model.context));
  model.weights = LOTSE_TRY(bind_weights(model.program, *checkpoint.weights, model.quantisation));
  for (const Weight& weight : model.weights) model.formats.push_back(weight.parts.front().format);
  return model;
}

Result<void> shard_model(Model& model, int32_t rank, int32_t size) {
  ShardedProgram sharded = LOTSE_TRY(shard(model.program, rank, size));
  for (size_t i = 0; i < model.weights.size(); ++i) {
    const WeightDecl& decl = model.program.weights[i];
    auto share = take_share(model.weights[i], decl.role, sharded.shares[i]);
    if (!share) {
      return fail(share.error().code, "tensor {}: {}", decl.sources.front(), share.error().message);
    }
    model.weights[i] = std::move(*share);
  }
  model.program = std::move(sharded.program);
  return {};
}

}  // namespace lotse
