#include "port/legalise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "checkpoint/dequantize.h"
#include "model/model.h"
#include "port/artifact_config.h"
#include "port/quantise.h"

namespace lotse {
namespace {

enum class Role { linear, expert, head, router, table, vector };

// A weight that the program names, with the limits that its operator has on a chip.
struct NamedWeight {
  const WeightDecl* decl = nullptr;
  Role role = Role::vector;
  bool is_table = false;  // an output projection tied to the embedding is both
};

bool is_quantisable(Role role) { return role == Role::linear || role == Role::expert; }

// The roles of program.weights, told by the operators that use them.
std::vector<NamedWeight> named_weights(const Program& program) {
  std::vector<NamedWeight> named(program.weights.size());
  for (size_t i = 0; i < named.size(); ++i) {
    named[i].decl = &program.weights[i];
    if (program.weights[i].role == WeightRole::table) named[i].role = Role::table;
  }
  const auto set = [&](WeightId id, Role role) { named[static_cast<size_t>(id)].role = role; };
  for (const Op& op : program.ops) {
    if (const auto* linear = std::get_if<Linear>(&op.operation)) {
      const Rows rows = program.values[static_cast<size_t>(linear->out)].rows;
      set(linear->weight, rows == Rows::outputs ? Role::head : Role::linear);
    } else if (const auto* moe = std::get_if<Moe>(&op.operation)) {
      set(moe->router, Role::router);
      set(moe->gate_up, Role::expert);
      set(moe->down, Role::expert);
    }
  }
  return named;
}

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const ChipProfile& chip, const LegaliseOptions& options)
      : checkpoint_(checkpoint), chip_(chip), options_(options) {}

  Result<PortPlan> run();

 private:
  bool stores(DType dtype) const {
    return std::ranges::find(chip_.storage, name(dtype)) != chip_.storage.end();
  }
  Result<const SourceWeight*> find(const std::string& name) const;
  Result<void> resolve_names(const Program& program);
  Result<void> check_shape(const NamedWeight& named) const;
  Result<void> choose_dtype();
  Support support(const NamedWeight& named, WeightFormat format, int64_t group) const;
  bool can_run(const NamedWeight& named, WeightFormat format, int64_t group) const;
  std::vector<std::string> possible_formats() const;
  Result<void> choose_group();
  Result<void> check_head(const NamedWeight& head) const;
  Result<void> decide(const NamedWeight& named);
  Result<PlannedTensor> quantised(const SourceWeight& source) const;
  Result<PlannedTensor> kept(const SourceWeight& source, bool is_vector, std::string note) const;
  PlannedTensor copied(const SourceWeight& source, std::string note) const;
  Result<void> decide_unused();
  std::vector<std::string> unquantised_modules() const;
  void make_shards();

  const Checkpoint& checkpoint_;
  const ChipProfile& chip_;
  const LegaliseOptions& options_;
  PortPlan plan_;
  std::vector<SourceWeight> sources_;
  std::unordered_map<std::string_view, const SourceWeight*> by_name_;
  std::vector<NamedWeight> named_;
  DType table_dtype_ = DType::bf16;
  std::map<std::string_view, PlannedTensor> planned_;
  std::unordered_set<std::string_view> tables_;
  std::vector<std::string> head_modules_;
};

Result<const SourceWeight*> Planner::find(const std::string& name) const {
  for (const std::string& candidate : stored_names(name)) {
    const auto found = by_name_.find(candidate);
    if (found != by_name_.end()) return found->second;
  }
  LOTSE_TRY(checkpoint_.weights->read(name));  // its error names the closest tensor there is
  return fail(ErrorCode::unsupported,
              "tensor {} belongs to a quantised weight in a form that "
              "cannot be ported",
              name);
}

Result<void> Planner::check_shape(const NamedWeight& named) const {
  const WeightDecl& decl = *named.decl;
  const bool is_vector = decl.role == WeightRole::vector;
  int64_t rows = 0;
  for (const std::string& name : decl.sources) {
    const SourceWeight* source = LOTSE_TRY(find(name));
    const Shape& shape = source->shape;
    const bool fits = is_vector ? shape.rank() == 1 : shape.rank() == 2 && shape[1] == decl.columns;
    if (!fits) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected {}, got shape {}",
                  source->file, source->name,
                  is_vector ? "one dimension" : fmt::format("[rows, {}]", decl.columns),
                  to_string(shape));
    }
    if (!source->is_quantised() && !can_dequantize(source->dtype)) {
      return fail(ErrorCode::unsupported,
                  "{}: tensor {}: weights of type {} without scales cannot "
                  "be ported",
                  source->file, source->name, lotse::name(source->dtype));
    }
    rows += shape[0];
  }
  const int64_t expected = is_vector ? decl.columns : decl.rows;
  if (rows == expected) return {};
  return fail(ErrorCode::invalid_input, "{}: tensor {} and its kin: expected {} rows, got {}",
              checkpoint_.path.string(), decl.sources.front(), expected, rows);
}

Result<void> Planner::choose_dtype() {
  for (const NamedWeight& named : named_) {
    if (named.role == Role::table) {
      const SourceWeight* table = LOTSE_TRY(find(named.decl->sources.front()));
      table_dtype_ = table->dtype;
      tables_.insert(table->name);
    }
  }
  const bool is_f16_model = table_dtype_ == DType::f16 && options_.quant != WeightFormat::bf16;
  plan_.dtype =
      stores(DType::bf16) && !(is_f16_model && stores(DType::f16)) ? DType::bf16 : DType::f16;
  if (stores(plan_.dtype)) return {};
  return fail(ErrorCode::unsupported, "target {} stores neither BF16 nor FP16 weights", chip_.name);
}

Support Planner::support(const NamedWeight& named, WeightFormat format, int64_t group) const {
  const WeightDecl& decl = *named.decl;
  OperatorQuery query;
  query.kind = named.role == Role::expert ? "moe" : "linear";
  query.weight_format =
      name(format == WeightFormat::bf16 && plan_.dtype == DType::f16 ? WeightFormat::f16 : format);
  query.activation = name(plan_.dtype);
  query.number = {{"n", decl.rows / decl.experts}, {"k", decl.columns}, {"group", group}};
  return lookup(chip_, query);
}

bool Planner::can_run(const NamedWeight& named, WeightFormat format, int64_t group) const {
  const Support found = support(named, format, group);
  return found.status == Support::Status::native || found.status == Support::Status::composed ||
         (found.status == Support::Status::converted && found.at_load);
}

// Preferred first. Ascend's W4A8 takes groups of 256 only.
std::span<const int64_t> group_candidates(WeightFormat format) {
  static constexpr std::array<int64_t, 3> kW4A16 = {128, 64, 32};
  static constexpr std::array<int64_t, 4> kW4A8 = {128, 256, 64, 32};
  static constexpr std::array<int64_t, 1> kNone = {0};
  if (format == WeightFormat::w4a16) return kW4A16;
  if (format == WeightFormat::w4a8) return kW4A8;
  return kNone;
}

bool divides(int64_t group, const NamedWeight& named) {
  return group == 0 || named.decl->columns % group == 0;
}

std::vector<std::string> Planner::possible_formats() const {
  std::vector<std::string> possible;
  for (const WeightFormat format :
       {WeightFormat::bf16, WeightFormat::w8a8, WeightFormat::w4a16, WeightFormat::w4a8}) {
    const auto candidates = group_candidates(format);
    const bool runs = std::ranges::any_of(candidates, [&](int64_t group) {
      return std::ranges::all_of(named_, [&](const NamedWeight& named) {
        return !is_quantisable(named.role) || can_run(named, format, group);
      });
    });
    if (runs) possible.emplace_back(name(format));
  }
  return possible;
}

// The group under which most elements are quantised, among those with which the target can run
// everything that they divide.
Result<void> Planner::choose_group() {
  int64_t most = 0;
  const NamedWeight* refused = nullptr;
  int64_t refused_group = 0;
  for (const int64_t group : group_candidates(options_.quant)) {
    int64_t elements = 0;
    bool runs = true;
    for (const NamedWeight& named : named_) {
      if (!is_quantisable(named.role) || !divides(group, named)) continue;
      elements += named.decl->rows * named.decl->columns;
      if (can_run(named, options_.quant, group)) continue;
      runs = false;
      refused = &named;
      refused_group = group;
    }
    if (!runs || elements <= most) continue;
    most = elements;
    plan_.group = group;
  }
  if (most > 0) return {};
  if (refused == nullptr) {
    return fail(ErrorCode::unsupported,
                "{}: no weight has columns in a multiple of a group that {} takes; use w8a8",
                checkpoint_.path.string(), name(options_.quant));
  }
  const Support why = support(*refused, options_.quant, refused_group);
  return fail(ErrorCode::unsupported, "target {} cannot run {} as {}: {}; it can run: {}",
              chip_.name, refused->decl->sources.front(), name(options_.quant),
              why.how.empty() ? why.why : why.how, fmt::join(possible_formats(), ", "));
}

Result<void> Planner::check_head(const NamedWeight& head) const {
  if (head.is_table) {
    return fail(ErrorCode::unsupported,
                "the output projection is tied to the embedding table, which is not quantised: "
                "leave --quantise-head out");
  }
  const Support found = support(head, WeightFormat::w8a8, 0);
  if (options_.quant == WeightFormat::w8a8 && found.status == Support::Status::native) return {};
  return fail(ErrorCode::unsupported,
              "the output projection {} of {} rows cannot be quantised for {}: {}",
              head.decl->sources.front(), head.decl->rows, chip_.name,
              options_.quant == WeightFormat::w8a8 ? found.why : "only w8a8 does");
}

PlannedTensor Planner::copied(const SourceWeight& source, std::string note) const {
  PlannedTensor planned{source, std::nullopt, std::move(note), {}};
  const std::string stem = source.name.substr(0, source.name.rfind(".weight"));
  for (const std::string& name :
       {source.values, source.scales, source.dtype == DType::i4 ? stem + ".weight_shape" : ""}) {
    if (!name.empty()) planned.outputs.push_back(*checkpoint_.weights->find(name));
  }
  return planned;
}

TensorInfo output(const std::string& name, DType dtype, const Shape& shape) {
  return {name, dtype, shape, byte_size(dtype, shape.elements().value()).value(), ""};
}

Result<PlannedTensor> Planner::quantised(const SourceWeight& source) const {
  const int64_t rows = source.shape[0];
  const int64_t columns = source.shape[1];
  const int64_t group = plan_.group;
  const std::string& name = source.name;
  const bool is_8_bit = options_.quant == WeightFormat::w8a8;
  const bool is_same = source.is_quantised() && source.block_rows == 1 &&
                       source.dtype == (is_8_bit ? DType::i8 : DType::i4) &&
                       source.block_columns == (is_8_bit ? columns : group) &&
                       source.scales.ends_with(".weight_scale");
  if (is_same) return copied(source, "quantised already");
  PlannedTensor planned{source, options_.quant, "", {}};
  if (is_8_bit) {
    planned.outputs = {output(name, DType::i8, source.shape),
                       output(name + "_scale", DType::f32, Shape({rows, 1}))};
  } else {
    planned.outputs = {output(name + "_packed", DType::i32, Shape({rows, columns / 8})),
                       output(name + "_scale", DType::bf16, Shape({rows, columns / group})),
                       output(name + "_shape", DType::i64, Shape({2}))};
  }
  return planned;
}

Result<PlannedTensor> Planner::kept(const SourceWeight& source, bool is_vector,
                                    std::string note) const {
  if (is_vector && source.dtype == DType::f32 && table_dtype_ != DType::f32 && stores(DType::f32)) {
    return copied(source, "fp32 in a model that is not: kept");
  }
  if (source.dtype == plan_.dtype) return copied(source, std::move(note));
  const WeightFormat format = plan_.dtype == DType::f16 ? WeightFormat::f16 : WeightFormat::bf16;
  return PlannedTensor{
      source, format, std::move(note), {output(source.name, plan_.dtype, source.shape)}};
}

Result<void> Planner::decide(const NamedWeight& named) {
  const bool quantises = options_.quant != WeightFormat::bf16;
  const bool is_wanted =
      is_quantisable(named.role) || (named.role == Role::head && options_.quantise_head);
  std::string note;
  if (quantises && named.role == Role::head && !is_wanted) note = "output projection: kept";
  if (quantises && named.role == Role::router) note = "router: kept";
  const bool fits = divides(plan_.group, named);
  if (quantises && is_wanted && !fits) {
    note = fmt::format("{} columns are no multiple of {}: kept", named.decl->columns, plan_.group);
  }
  for (const std::string& name : named.decl->sources) {
    const SourceWeight* source = LOTSE_TRY(find(name));
    const bool is_quantised = quantises && is_wanted && fits;
    planned_.insert_or_assign(
        source->name,
        LOTSE_TRY(is_quantised ? quantised(*source)
                               : kept(*source, named.decl->role == WeightRole::vector, note)));
  }
  return {};
}

Result<void> Planner::decide_unused() {
  for (const SourceWeight& source : sources_) {
    if (planned_.contains(source.name)) continue;
    const bool is_number = source.is_quantised() || can_dequantize(source.dtype);
    const bool is_stored = stores(source.dtype) && !source.is_quantised();
    const std::string note = "not used by the text model";
    if (!is_stored && !is_number) {
      return fail(ErrorCode::unsupported, "{}: tensor {}: target {} does not store {}", source.file,
                  source.name, chip_.name, name(source.dtype));
    }
    planned_.emplace(source.name,
                     is_stored ? copied(source, note) : LOTSE_TRY(kept(source, false, note)));
  }
  return {};
}

// Modules that a reader of compressed-tensors must take for ordinary linear layers.
std::vector<std::string> Planner::unquantised_modules() const {
  std::vector<std::string> modules = head_modules_;
  for (const auto& [key, planned] : planned_) {
    const bool is_matrix = planned.source.shape.rank() == 2 && key.ends_with(".weight");
    const bool is_quantised = planned.outputs.size() > 1;
    if (is_matrix && !is_quantised && !tables_.contains(key))
      modules.emplace_back(key.substr(0, key.rfind(".weight")));
  }
  std::ranges::sort(modules);
  modules.erase(std::unique(modules.begin(), modules.end()), modules.end());
  return modules;
}

// Layer 2 before layer 10: runs of digits compare as numbers.
bool natural_less(std::string_view a, std::string_view b) {
  const auto digits = [](std::string_view text) {
    return std::min(text.find_first_not_of("0123456789"), text.size());
  };
  while (!a.empty() && !b.empty()) {
    const size_t m = digits(a);
    const size_t n = digits(b);
    if (m > 0 && n > 0) {
      if (m != n) return m < n;
      const int order = a.substr(0, m).compare(b.substr(0, n));
      if (order != 0) return order < 0;
    } else if (a.front() != b.front()) {
      return a.front() < b.front();
    }
    a.remove_prefix(std::max<size_t>(m, 1));
    b.remove_prefix(std::max<size_t>(n, 1));
  }
  return a.size() < b.size();
}

// In the order of the source's files, so that each is read once, front to back as far as possible.
void Planner::make_shards() {
  std::vector<PlannedTensor*> order;
  order.reserve(planned_.size());
  for (auto& [key, planned] : planned_) order.push_back(&planned);
  std::ranges::sort(order, [](const PlannedTensor* a, const PlannedTensor* b) {
    if (a->source.file != b->source.file) return natural_less(a->source.file, b->source.file);
    return natural_less(a->source.name, b->source.name);
  });
  int64_t filled = 0;
  for (PlannedTensor* planned : order) {
    int64_t bytes = 0;
    for (const TensorInfo& info : planned->outputs) bytes += info.bytes;
    if (plan_.shards.empty() || (filled > 0 && bytes > options_.shard_bytes - filled)) {
      plan_.shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    plan_.shards.back().tensors.push_back(std::move(*planned));
  }
  const size_t count = plan_.shards.size();
  for (size_t i = 0; i < count; ++i) {
    plan_.shards[i].file = count == 1
                               ? "model.safetensors"
                               : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, count);
  }
}

Result<PortPlan> Planner::run() {
  const ModelConfig config =
      LOTSE_TRY(read_model_config(checkpoint_.config, checkpoint_.config_origin));
  const Program program = LOTSE_TRY(record_program(config, config.max_context));
  sources_ = LOTSE_TRY(
      source_weights(*checkpoint_.weights, checkpoint_.config, checkpoint_.config_origin));
  for (const SourceWeight& source : sources_) by_name_.emplace(source.name, &source);
  named_ = named_weights(program);
  for (const NamedWeight& named : named_) LOTSE_TRY(check_shape(named));
  plan_.target = chip_.name;
  plan_.quant = options_.quant;
  LOTSE_TRY(choose_dtype());
  if (options_.quant != WeightFormat::bf16) LOTSE_TRY(choose_group());
  for (NamedWeight& named : named_) {
    named.is_table = config.tied_embeddings && named.role == Role::head;
    if (named.role != Role::head) continue;
    if (options_.quantise_head) LOTSE_TRY(check_head(named));
    if (!options_.quantise_head) head_modules_.emplace_back("lm_head");
  }
  for (const NamedWeight& named : named_) LOTSE_TRY(decide(named));
  LOTSE_TRY(decide_unused());
  plan_.config = artifact_config(checkpoint_.config, plan_, unquantised_modules());
  make_shards();
  plan_.index = shard_index(plan_);
  return std::move(plan_);
}

}  // namespace

Result<PortPlan> plan_port(const Checkpoint& checkpoint, const ChipProfile& chip,
                           const LegaliseOptions& options) {
  if (checkpoint.weights == nullptr) {
    return fail(ErrorCode::not_found, "{}: has a configuration but no weights to port",
                checkpoint.path.string());
  }
  return Planner(checkpoint, chip, options).run();
}

}  // namespace lotse
