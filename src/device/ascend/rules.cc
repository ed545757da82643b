#include "device/ascend/rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/walk/support.h"

namespace lotse::ascend {
namespace {

const char* name_of(AclType type) {
  return type == AclType::f32 ? "f32" : type == AclType::f16 ? "f16" : "bf16";
}

// What the products of a weight take it for: exact ones of matrices and experts are in FP32, or
// have INT32 sums, which take as many rows.
std::string format_of(const WeightDecl& decl, const WeightPart& part, bool exact) {
  const bool is_multiplied = decl.role == WeightRole::matrix || decl.role == WeightRole::experts;
  const bool is_f32 = decl.role == WeightRole::vector || (is_multiplied && exact);
  return is_f32 ? "f32" : std::string(lotse::name(part.format));
}

Storage storage_of(const Program& program, const std::vector<Weight>& weights, AclType activations,
                   AclType cached, bool exact) {
  Storage storage;
  storage.activation = name_of(activations);
  storage.kv = name_of(cached);
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightPart& part = weights[i].parts.front();
    storage.weights.push_back({format_of(program.weights[i], part, exact), part.group,
                               static_cast<double>(stored_bytes(weights[i]))});
  }
  return storage;
}

void drop_idle_windows(Op& op, int64_t max_context) {
  auto* attention = std::get_if<Attention>(&op.operation);
  if (attention != nullptr && attention->window >= max_context) attention->window = 0;
}

}  // namespace

Result<ChipProfile> profile_of(const std::string& soc) {
  std::vector<std::string> known;
  for (const std::string& name : chip_names()) {
    ChipProfile chip = LOTSE_TRY(load_chip(name));
    if (chip.vendor != "huawei") continue;
    if (std::ranges::find(chip.soc_names, soc) != chip.soc_names.end()) return chip;
    known.insert(known.end(), chip.soc_names.begin(), chip.soc_names.end());
  }
  return fail(ErrorCode::unsupported,
              "no chip profile lists the SoC {}; known: {}. LOTSE_CHIPS may name a folder with a "
              "profile of yours",
              soc, fmt::join(known, ", "));
}

Result<std::vector<Support>> check_program(const Program& program,
                                           const std::vector<Weight>& weights, AclType activations,
                                           AclType cached, int64_t max_context,
                                           const ChipProfile& chip, bool exact) {
  if (program.adapters > 0) {
    return fail(ErrorCode::unsupported,
                "the ascend device has no LoRA adapters yet; the cpu device has them");
  }
  const Storage storage = storage_of(program, weights, activations, cached, exact);
  std::vector<Support> answers;
  for (Op op : program.ops) {
    drop_idle_windows(op, max_context);
    Support support = lookup(chip, operator_query(program, storage, op));
    const bool is_ready =
        support.status == Support::Status::native || support.status == Support::Status::composed;
    if (!is_ready) {
      const bool is_missing = support.status == Support::Status::missing;
      return fail(ErrorCode::unsupported,
                  "operator {} ({}): {}; `lotse inspect MODEL --target {}` shows all of them",
                  op.name, kind_name(op.operation), is_missing ? support.why : support.how,
                  chip.name);
    }
    answers.push_back(std::move(support));
  }
  return answers;
}

}  // namespace lotse::ascend
