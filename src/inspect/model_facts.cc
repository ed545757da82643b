#include "inspect/model_facts.h"

#include <map>

#include "chip/rules.h"
#include "model/family.h"
#include "port/source_weight.h"

namespace lotse {
namespace {

constexpr const char* kReadable =
    "Lotse reads unquantised weights, GGUF, FP8 with scales per tensor, channel or block, and "
    "compressed-tensors' symmetric int8 and int4";

// config.json's torch_dtype; bf16 where it says nothing, as most models do.
std::string plain_format(const ModelConfig& config) {
  if (config.dtype == "float32") return "f32";
  if (config.dtype == "float16") return "f16";
  return "bf16";
}

struct Scheme {
  std::string format;  // empty: not quantised
  int64_t group = 0;
};

Result<Scheme> compressed_tensors_scheme(const Json& json, const std::string& origin,
                                         const JsonFields& fields) {
  const std::string format = LOTSE_TRY(fields.string_or("format", ""));
  if (format != "float-quantized") {
    const Quantisation read = LOTSE_TRY(read_quantisation(json, origin));
    return Scheme{std::string(name(read.format)), read.group};
  }
  const auto groups = LOTSE_TRY(fields.object("config_groups"));
  if (groups && groups->json().is_object() && !groups->json().empty()) {
    const std::string first = groups->json().begin().key();
    const auto group = LOTSE_TRY(groups->object(first.c_str()));
    const auto weights = group ? LOTSE_TRY(group->object("weights")) : std::nullopt;
    const std::string strategy = weights ? LOTSE_TRY(weights->string_or("strategy", "")) : "";
    if (strategy == "tensor" || strategy == "channel" || strategy == "block") {
      return Scheme{"fp8_" + strategy};
    }
  }
  return fail(ErrorCode::unsupported, "{}: float-quantized weights of an unknown strategy: {}",
              fields.origin(), kReadable);
}

// ModelOpt keeps its quantisation in a file beside config.json.
Result<Scheme> modelopt_scheme(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "hf_quant_config.json";
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return Scheme{};
  const Json json = LOTSE_TRY(read_json_file(path.string()));
  const JsonFields fields(json, path.string());
  const auto inner = json.is_object() ? LOTSE_TRY(fields.object("quantization")) : std::nullopt;
  const std::string algorithm = inner ? LOTSE_TRY(inner->string_or("quant_algo", "")) : "";
  if (algorithm == "FP8") return Scheme{"fp8_tensor"};
  return fail(ErrorCode::unsupported, "{}: quant_algo \"{}\" is not supported: {}", path.string(),
              algorithm, kReadable);
}

Result<Scheme> read_scheme(const Json& json, const std::string& origin,
                           const std::filesystem::path& folder) {
  const JsonFields root(json, origin);
  const auto fields = LOTSE_TRY(root.object("quantization_config"));
  if (!fields) return modelopt_scheme(folder);
  const std::string method = LOTSE_TRY(fields->string_or("quant_method", ""));
  if (method == "fp8") {
    return Scheme{fields->has("weight_block_size") ? "fp8_block" : "fp8_tensor"};
  }
  if (method == "compressed-tensors") return compressed_tensors_scheme(json, origin, *fields);
  return fail(ErrorCode::unsupported, "{}: field \"quant_method\": \"{}\" is not supported: {}",
              fields->origin(), method, kReadable);
}

// What the configuration adds to what the tensors show.
struct Declared {
  Quantisation quantisation;
  bool fp8_blocks = false;  // scales are those of blocks, even of matrices that are one block
};

Declared read_declared(const Checkpoint& checkpoint) {
  Declared declared;
  declared.quantisation =
      read_quantisation(checkpoint.config, checkpoint.config_origin).value_or(Quantisation{});
  const JsonFields root(checkpoint.config, checkpoint.config_origin);
  const auto fields = root.object("quantization_config");
  declared.fp8_blocks = fields && *fields && (*fields)->has("weight_block_size");
  return declared;
}

// The rules' name for how one weight is stored.
std::string format_of(const SourceWeight& weight, const Declared& declared) {
  switch (weight.dtype) {
    case DType::f8_e4m3:
    case DType::f8_e5m2: {
      const int64_t rows = weight.shape.rank() == 2 ? weight.shape[0] : 1;
      const int64_t columns = weight.shape.rank() == 2 ? weight.shape[1] : 1;
      if (declared.fp8_blocks || weight.block_columns < columns) return "fp8_block";
      return weight.block_rows == 1 && rows > 1 ? "fp8_channel" : "fp8_tensor";
    }
    case DType::i8:
      return "w8a8";
    case DType::i4:
      return std::string(name(declared.quantisation.format));
    default:
      return std::string(name(weight.dtype));
  }
}

class SourceNames {
 public:
  explicit SourceNames(const std::vector<SourceWeight>& weights) {
    for (const SourceWeight& weight : weights) by_name_[weight.name] = &weight;
  }
  const SourceWeight* find(const std::string& name) const {
    for (const std::string& stored : stored_names(name)) {
      if (const auto found = by_name_.find(stored); found != by_name_.end()) return found->second;
    }
    return nullptr;
  }

 private:
  std::map<std::string, const SourceWeight*> by_name_;
};

bool is_known(const std::string& format) {
  for (const std::string_view known : weight_formats()) {
    if (known == format) return true;
  }
  return false;
}

Result<WeightStorage> stored_weight(const WeightDecl& decl, const SourceNames& names,
                                    const Declared& declared, const std::string& file) {
  WeightStorage stored;
  for (const std::string& name : decl.sources) {
    const SourceWeight* weight = names.find(name);
    if (!weight) return fail(ErrorCode::not_found, "{}: tensor {} is missing", file, name);
    const std::string format = format_of(*weight, declared);
    if (stored.format.empty()) {
      stored.format = decl.role == WeightRole::vector ? "f32" : format;
      stored.group = weight->dtype == DType::i4 ? weight->block_columns : 0;
    }
    if (decl.role != WeightRole::vector && !is_known(format)) {
      return fail(ErrorCode::unsupported, "{}: tensor {}: weights of type {} are not supported: {}",
                  weight->file, name, format, kReadable);
    }
    stored.bytes += static_cast<double>(weight->bytes);
  }
  return stored;
}

Result<Storage> storage_by_weights(const Program& program, const ModelConfig& config,
                                   const Checkpoint& checkpoint) {
  const auto weights =
      LOTSE_TRY(source_weights(*checkpoint.weights, checkpoint.config, checkpoint.config_origin));
  const Declared declared = read_declared(checkpoint);
  const SourceNames names(weights);
  Storage storage;
  for (const WeightDecl& decl : program.weights) {
    storage.weights.push_back(
        LOTSE_TRY(stored_weight(decl, names, declared, checkpoint.path.string())));
  }
  storage.activation = plain_format(config);
  if (checkpoint.format == "gguf") storage.activation = "f16";
  storage.kv = storage.activation;
  return storage;
}

}  // namespace

Result<Storage> storage_by_config(const Program& program, const ModelConfig& config,
                                  const Json& json, const std::string& origin,
                                  const std::filesystem::path& folder) {
  const Scheme scheme = LOTSE_TRY(read_scheme(json, origin, folder));
  const std::string plain = plain_format(config);
  Storage storage = uniform_storage(program, plain, plain);
  if (!scheme.format.empty()) quantise(storage, program, scheme.format, scheme.group);
  return storage;
}

Result<ModelFacts> examine_model(const std::filesystem::path& path) {
  ModelFacts facts;
  facts.checkpoint = LOTSE_TRY(open_checkpoint(path));
  const Checkpoint& checkpoint = facts.checkpoint;
  facts.config = LOTSE_TRY(read_model_config(checkpoint.config, checkpoint.config_origin));
  facts.family = find_family(facts.config.model_type)->title;
  facts.program = LOTSE_TRY(record_program(facts.config, facts.config.max_context));
  facts.has_weights = checkpoint.weights != nullptr;
  if (!facts.has_weights) {
    const auto folder = std::filesystem::path(checkpoint.config_origin).parent_path();
    facts.storage = LOTSE_TRY(storage_by_config(facts.program, facts.config, checkpoint.config,
                                                checkpoint.config_origin, folder));
    return facts;
  }
  facts.storage = LOTSE_TRY(storage_by_weights(facts.program, facts.config, checkpoint));
  for (const TensorInfo& tensor : checkpoint.weights->tensors()) {
    ++facts.tensors;
    facts.stored_bytes += tensor.bytes;
  }
  return facts;
}

std::string main_format(const Storage& storage) {
  std::map<std::string, double> bytes;
  for (const WeightStorage& weight : storage.weights) bytes[weight.format] += weight.bytes;
  std::string largest;
  for (const auto& [format, size] : bytes) {
    if (largest.empty() || size > bytes[largest]) largest = format;
  }
  return largest;
}

}  // namespace lotse
