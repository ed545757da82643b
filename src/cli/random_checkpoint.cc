#include "cli/random_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "base/atomic_file.h"
#include "base/checked.h"
#include "base/float_types.h"
#include "base/hash.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

constexpr float kNormDeviation = 0.1f;
constexpr float kBiasDeviation = 0.1f;
// Rotary tables of long-context models are cut here; no weight depends on it.
constexpr int64_t kContext = 4096;

// Counter-based generator: the n-th number of a stream needs none of those before it (SplitMix64,
// Steele et al. 2014).
uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// About normal with mean 0 and deviation 1: the sum of four uniform numbers of 16 bits.
float normal(uint64_t bits) {
  const auto sum = static_cast<float>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                      ((bits >> 32) & 0xffff) + (bits >> 48));
  constexpr float kMean = 4 * 65535.0f / 2;
  const float deviation = 65536.0f * std::sqrt(4 / 12.0f);
  return (sum - kMean) / deviation;
}

void fill(const RandomTensor& tensor, uint64_t stream, int64_t first, std::span<uint16_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t counter = stream + static_cast<uint64_t>(first) + i;
    out[i] = float_to_bf16(tensor.mean + tensor.deviation * normal(mix(counter)));
  }
}

// The rows of each source of a weight: q, k and v by the attention they feed, else equal parts (a
// gate and an up projection, or experts).
std::vector<int64_t> source_rows(const Program& program, size_t weight) {
  const WeightDecl& decl = program.weights[weight];
  const auto parts = std::ssize(decl.sources);
  const int64_t total = decl.role == WeightRole::vector ? decl.columns : decl.rows;
  for (const Op& op : program.ops) {
    const auto* linear = std::get_if<Linear>(&op.operation);
    const auto id = static_cast<WeightId>(weight);
    if (parts != 3 || linear == nullptr || (linear->weight != id && linear->bias != id)) continue;
    for (const Op& user : program.ops) {
      const auto* attention = std::get_if<Attention>(&user.operation);
      if (attention == nullptr || attention->qkv != linear->out) continue;
      const int64_t kv = attention->kv_heads * attention->head_dim;
      return {attention->heads * attention->head_dim, kv, kv};
    }
  }
  LOTSE_CHECK(total % parts == 0);
  return std::vector<int64_t>(static_cast<size_t>(parts), total / parts);
}

std::set<WeightId> biases(const Program& program) {
  std::set<WeightId> found;
  for (const Op& op : program.ops) {
    if (const auto* linear = std::get_if<Linear>(&op.operation)) found.insert(linear->bias);
  }
  return found;
}

Result<RandomTensor> plan_tensor(const std::string& name, const WeightDecl& decl, int64_t rows,
                                 bool is_bias) {
  RandomTensor tensor;
  tensor.info.name = name;
  tensor.info.dtype = DType::bf16;
  const bool is_vector = decl.role == WeightRole::vector;
  const auto elements = is_vector ? rows : checked_mul(rows, decl.columns);
  const auto bytes = elements ? byte_size(DType::bf16, *elements) : std::nullopt;
  if (!bytes) {
    return fail(ErrorCode::limit, "{}: {} by {} elements are too many", name, rows, decl.columns);
  }
  tensor.info.bytes = *bytes;
  if (is_vector) {
    tensor.info.shape = Shape{rows};
    tensor.mean = is_bias ? 0 : 1 - decl.offset;
    tensor.deviation = is_bias ? kBiasDeviation : kNormDeviation;
  } else {
    tensor.info.shape = Shape{rows, decl.columns};
    tensor.deviation = 1 / std::sqrt(static_cast<float>(decl.columns));
  }
  return tensor;
}

Result<std::vector<RandomTensor>> plan_tensors(const Program& program) {
  std::vector<RandomTensor> tensors;
  std::set<std::string> seen;
  const auto bias_ids = biases(program);
  for (size_t weight = 0; weight < program.weights.size(); ++weight) {
    const WeightDecl& decl = program.weights[weight];
    const bool is_bias = bias_ids.contains(static_cast<WeightId>(weight));
    const auto rows = source_rows(program, weight);
    for (size_t part = 0; part < decl.sources.size(); ++part) {
      if (!seen.insert(decl.sources[part]).second) continue;
      tensors.push_back(LOTSE_TRY(plan_tensor(decl.sources[part], decl, rows[part], is_bias)));
    }
  }
  return tensors;
}

Result<void> keep_layers(Json& config, int64_t layers, const std::string& origin) {
  config["num_hidden_layers"] = layers;
  if (const auto types = config.find("layer_types"); types != config.end() && types->is_array()) {
    if (std::ssize(*types) < layers) {
      return fail(ErrorCode::invalid_input,
                  "{}: field \"layer_types\" describes {} layers, fewer than --layers {}", origin,
                  types->size(), layers);
    }
    types->erase(types->begin() + layers, types->end());
  }
  if (const auto dense = config.find("mlp_only_layers");
      dense != config.end() && dense->is_array()) {
    std::erase_if(dense->get_ref<Json::array_t&>(), [&](const Json& layer) {
      return layer.is_number_integer() && layer.get<int64_t>() >= layers;
    });
  }
  return {};
}

// The configuration as the random checkpoint has it.
Result<Json> adjust_config(const Checkpoint& source, const RandomCheckpointOptions& options) {
  Json config = source.config;
  if (!config.is_object()) {
    return fail(ErrorCode::not_found, "{}: no config.json", source.path.string());
  }
  if (const auto text = config.find("text_config"); text != config.end() && text->is_object()) {
    config = Json(*text);
  }
  config.erase("quantization_config");
  config.erase("dtype");
  config["torch_dtype"] = "bfloat16";
  if (options.layers) LOTSE_TRY(keep_layers(config, *options.layers, source.config_origin));
  return config;
}

Result<void> check_tokenizer(const fs::path& directory, int64_t vocabulary) {
  const auto tokenizer = LOTSE_TRY(Tokenizer::load(directory));
  if (tokenizer->vocab_size() <= vocabulary) return {};
  return fail(ErrorCode::invalid_input,
              "{}: {} tokens do not fit the configuration's vocabulary of {}", directory.string(),
              tokenizer->vocab_size(), vocabulary);
}

Result<void> copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "chat_template.jinja", "generation_config.json"}) {
    std::error_code error;
    if (!fs::exists(from / name, error)) continue;
    fs::copy_file(from / name, to / name, error);
    if (error) {
      return fail(ErrorCode::io, "{}: cannot copy: {}", (from / name).string(), error.message());
    }
  }
  return {};
}

Result<void> write_shard(const std::vector<RandomTensor>& tensors, uint64_t seed,
                         const fs::path& path, int64_t& written,
                         const std::function<void(int64_t)>& on_progress) {
  std::vector<TensorInfo> infos;
  for (const RandomTensor& tensor : tensors) infos.push_back(tensor.info);
  auto writer = LOTSE_TRY(SafetensorsWriter::create(path, infos, {{"format", "pt"}}));
  std::vector<uint16_t> buffer(size_t{1} << 19);
  for (const RandomTensor& tensor : tensors) {
    const std::string& name = tensor.info.name;
    const uint64_t stream = mix(seed ^ xxh3(std::as_bytes(std::span(name))));
    writer.begin(name);
    const int64_t elements = tensor.info.bytes / 2;
    for (int64_t first = 0; first < elements; first += std::ssize(buffer)) {
      const auto count = std::min(std::ssize(buffer), static_cast<ptrdiff_t>(elements - first));
      const auto piece = std::span(buffer).first(static_cast<size_t>(count));
      fill(tensor, stream, first, piece);
      LOTSE_TRY(writer.append(std::as_bytes(piece)));
      on_progress(written += std::ssize(piece) * 2);
    }
  }
  return writer.finish();
}

std::string shard_name(size_t shard, size_t count) {
  if (count == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, count);
}

Json shard_index(const std::vector<std::vector<RandomTensor>>& shards, int64_t total) {
  Json map = Json::object();
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    for (const RandomTensor& tensor : shards[shard]) {
      map[tensor.info.name] = shard_name(shard, shards.size());
    }
  }
  return {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
}

Result<void> check_destination(const fs::path& out, int64_t bytes) {
  std::error_code error;
  if (fs::exists(out, error)) {
    return fail(ErrorCode::invalid_input, "{}: exists already; choose another name", out.string());
  }
  const fs::path parent = fs::absolute(out).parent_path();
  const auto space = fs::space(parent, error);
  if (error) return fail(ErrorCode::io, "{}: {}", parent.string(), error.message());
  if (static_cast<int64_t>(space.available) >= bytes) return {};
  return fail(ErrorCode::io, "{}: {} are needed, {} are free", parent.string(),
              format_bytes(static_cast<double>(bytes)),
              format_bytes(static_cast<double>(space.available)));
}

Result<void> write_files(const RandomCheckpoint& checkpoint, const fs::path& directory,
                         const std::function<void(int64_t)>& on_progress) {
  const auto shards = checkpoint.shards();
  int64_t written = 0;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    LOTSE_TRY(write_shard(shards[shard], checkpoint.options.seed,
                          directory / shard_name(shard, shards.size()), written, on_progress));
  }
  if (shards.size() > 1) {
    LOTSE_TRY(write_file_atomically(directory / "model.safetensors.index.json",
                                    shard_index(shards, checkpoint.total_bytes()).dump(2) + "\n"));
  }
  if (!checkpoint.options.tokenizer.empty()) {
    LOTSE_TRY(copy_tokenizer(checkpoint.options.tokenizer, directory));
  }
  return write_file_atomically(directory / "config.json", checkpoint.config.dump(2) + "\n");
}

}  // namespace

int64_t RandomCheckpoint::total_bytes() const {
  int64_t total = 0;
  for (const RandomTensor& tensor : tensors) total += tensor.info.bytes;
  return total;
}

std::vector<std::vector<RandomTensor>> RandomCheckpoint::shards() const {
  std::vector<std::vector<RandomTensor>> shards;
  int64_t bytes = 0;
  for (const RandomTensor& tensor : tensors) {
    if (shards.empty() || bytes + tensor.info.bytes > kShardBytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += tensor.info.bytes;
  }
  return shards;
}

Result<RandomCheckpoint> plan_random_checkpoint(const fs::path& config,
                                                const RandomCheckpointOptions& options) {
  const Checkpoint source = LOTSE_TRY(open_checkpoint(config));
  RandomCheckpoint plan;
  plan.options = options;
  plan.config = LOTSE_TRY(adjust_config(source, options));
  const ModelConfig model = LOTSE_TRY(read_model_config(plan.config, source.config_origin));
  if (!options.tokenizer.empty()) {
    LOTSE_TRY(check_tokenizer(options.tokenizer, model.vocabulary));
  }
  const Program program = LOTSE_TRY(record_program(model, std::min(model.max_context, kContext)));
  plan.tensors = LOTSE_TRY(plan_tensors(program));
  return plan;
}

Result<void> write_random_checkpoint(const RandomCheckpoint& checkpoint, const fs::path& out,
                                     const std::function<void(int64_t)>& on_progress) {
  LOTSE_TRY(check_destination(out, checkpoint.total_bytes()));
  const fs::path temporary = out.string() + ".partial";
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directory(temporary, error);
  if (error) {
    return fail(ErrorCode::io, "{}: cannot create the directory: {}", temporary.string(),
                error.message());
  }
  if (auto written = write_files(checkpoint, temporary, on_progress); !written) {
    fs::remove_all(temporary, error);
    return written;
  }
  fs::rename(temporary, out, error);
  if (error) return fail(ErrorCode::io, "{}: cannot rename: {}", out.string(), error.message());
  return {};
}

}  // namespace lotse::cli
