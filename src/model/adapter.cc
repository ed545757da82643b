#include "model/adapter.h"

#include <cmath>
#include <map>
#include <set>

#include "checkpoint/checkpoint.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxRank = 4096;
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kDown = ".lora_A.weight";
constexpr std::string_view kUp = ".lora_B.weight";
constexpr std::string_view kWeight = ".weight";

struct AdapterConfig {
  double alpha = 8;
  std::map<std::string, double> alphas;  // of modules whose path ends so
  bool is_stabilised = false;            // divides by the root of the rank (rsLoRA)

  float scale(std::string_view module, int64_t rank) const {
    double wanted = alpha;
    for (const auto& [ending, value] : alphas) {
      if (module == ending || module.ends_with('.' + ending)) wanted = value;
    }
    const auto divisor = static_cast<double>(rank);
    return static_cast<float>(wanted / (is_stabilised ? std::sqrt(divisor) : divisor));
  }
};

std::unexpected<Error> no_plain_lora(const std::string& origin, std::string_view what) {
  return fail(ErrorCode::unsupported, "{}: {}; only plain LoRA of linears is supported", origin,
              what);
}

Result<void> expect_plain(const JsonFields& fields) {
  const std::string& origin = fields.origin();
  const std::string type = LOTSE_TRY(fields.string_or("peft_type", "LORA"));
  if (type != "LORA") return no_plain_lora(origin, "peft_type is \"" + type + '"');
  if (LOTSE_TRY(fields.boolean_or("use_dora", false))) return no_plain_lora(origin, "use_dora");
  if (LOTSE_TRY(fields.boolean_or("fan_in_fan_out", false))) {
    return no_plain_lora(origin, "fan_in_fan_out");
  }
  const std::string bias = LOTSE_TRY(fields.string_or("bias", "none"));
  if (bias != "none") return no_plain_lora(origin, "bias is \"" + bias + '"');
  return {};
}

Result<AdapterConfig> read_adapter_config(const fs::path& directory) {
  const std::string path = (directory / "adapter_config.json").string();
  const Json json = LOTSE_TRY(read_json_file(path, 1 << 20));
  if (!json.is_object()) return fail(ErrorCode::invalid_input, "{}: expected an object", path);
  const JsonFields fields(json, path);
  LOTSE_TRY(expect_plain(fields));
  AdapterConfig config;
  config.alpha = LOTSE_TRY(fields.positive_or("lora_alpha", config.alpha));
  config.is_stabilised = LOTSE_TRY(fields.boolean_or("use_rslora", false));
  const auto pattern = LOTSE_TRY(fields.object("alpha_pattern"));
  if (!pattern) return config;
  for (const auto& [ending, value] : pattern->json().items()) {
    if (!value.is_number() || ending.find_first_of("\\*+?[](){}|^$") != std::string::npos) {
      return fail(ErrorCode::unsupported,
                  "{}: field \"alpha_pattern\": expected numbers by the ends of modules' names",
                  path);
    }
    config.alphas[ending] = value.get<double>();
  }
  return config;
}

Result<Checkpoint> open_weights(const fs::path& directory) {
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(directory / name)) return open_checkpoint(directory / name);
  }
  return fail(ErrorCode::not_found, "{}: has no adapter_model.safetensors or adapter_model.bin",
              directory.string());
}

// Builds the adapter's operators and declarations, linear by linear.
class AdapterBuilder {
 public:
  AdapterBuilder(const Model& model, const WeightSource& tensors, const AdapterConfig& config)
      : program_(model.program), weights_(model.weights), tensors_(tensors), config_(config) {}

  // The program's operators with the adapter's, and its weights after the program's.
  Result<Program> build(int32_t adapter) {
    Program result = program_;
    result.ops.clear();
    result.adapters = adapter;
    for (const Op& op : program_.ops) {
      result.ops.push_back(op);
      const auto* linear = std::get_if<Linear>(&op.operation);
      if (linear != nullptr) LOTSE_TRY(adapt(op, *linear, adapter, result));
    }
    LOTSE_TRY(expect_all_used());
    return result;
  }

 private:
  // A linear may be several of the checkpoint's, whose outputs stand side by side.
  Result<void> adapt(const Op& op, const Linear& linear, int32_t adapter, Program& result) {
    const auto& sources = program_.weights[static_cast<size_t>(linear.weight)].sources;
    const auto& parts = weights_[static_cast<size_t>(linear.weight)].parts;
    int64_t first_column = 0;
    for (size_t i = 0; i < sources.size() && parts.size() == sources.size(); ++i) {
      const std::string module = module_of(sources[i]);
      LowRank added{};
      added.first_column = first_column;
      added.adapter = adapter;
      if (!module.empty()) {
        LOTSE_TRY(adapt_source(op, linear, module, parts[i], added, result));
      }
      first_column += parts[i].rows;
    }
    return {};
  }

  Result<void> adapt_source(const Op& op, const Linear& linear, const std::string& module,
                            const WeightPart& base, LowRank added, Program& result) {
    const TensorInfo& up = *tensors_.find(module + std::string(kUp));
    const TensorInfo* down = tensors_.find(module + std::string(kDown));
    if (down == nullptr) {
      return fail(ErrorCode::invalid_input, "{}: has {}, but no {}{}", up.file, up.name, module,
                  kDown);
    }
    const int64_t rank = down->shape.rank() == 2 ? down->shape[0] : 0;
    if (rank < 1 || rank > kMaxRank) {
      return fail(ErrorCode::invalid_input,
                  "{}: tensor {}: expected a matrix of 1 to {} rows, got {}", down->file,
                  down->name, kMaxRank, to_string(down->shape));
    }
    added.in = linear.in;
    added.out = linear.out;
    added.down = declare(*down, rank, base.columns, result);
    added.up = declare(up, base.rows, rank, result);
    added.scale = config_.scale(module, rank);
    result.ops.push_back({added, op.layer, op.name + "_adapter"});
    return {};
  }

  WeightId declare(const TensorInfo& tensor, int64_t rows, int64_t columns, Program& result) {
    used_.insert(tensor.name);
    result.weights.push_back({{tensor.name}, WeightRole::matrix, rows, columns});
    return static_cast<WeightId>(result.weights.size()) - 1;
  }

  // The adapter's module for a tensor of the model; empty when it has none.
  std::string module_of(const std::string& source) const {
    if (!source.ends_with(kWeight)) return {};
    for (const std::string& name : stored_names(source)) {
      std::string module = std::string(kPrefix) + name.substr(0, name.size() - kWeight.size());
      if (tensors_.find(module + std::string(kUp)) != nullptr) return module;
    }
    return {};
  }

  Result<void> expect_all_used() const {
    for (const TensorInfo& tensor : tensors_.tensors()) {
      if (used_.contains(tensor.name)) continue;
      return no_plain_lora(tensor.file,
                           "tensor " + tensor.name + " belongs to no linear of this model");
    }
    return {};
  }

  const Program& program_;
  const std::vector<Weight>& weights_;
  const WeightSource& tensors_;
  const AdapterConfig& config_;
  std::set<std::string> used_;
};

}  // namespace

Result<void> add_adapter(Model& model, const AdapterSource& source) {
  const AdapterConfig config = LOTSE_TRY(read_adapter_config(source.directory));
  const Checkpoint checkpoint = LOTSE_TRY(open_weights(source.directory));
  Program program = LOTSE_TRY(
      AdapterBuilder(model, *checkpoint.weights, config).build(model.program.adapters + 1));
  Program added;
  const auto base = static_cast<int64_t>(model.program.weights.size());
  added.weights.assign(program.weights.begin() + base, program.weights.end());
  for (Weight& weight : LOTSE_TRY(bind_weights(added, *checkpoint.weights, {}))) {
    model.formats.push_back(weight.parts.front().format);
    model.weights.push_back(std::move(weight));
    ++model.adapter_weights;
  }
  model.program = std::move(program);
  return {};
}

}  // namespace lotse
