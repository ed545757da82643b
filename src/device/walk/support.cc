#include "device/walk/support.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "chip/profile.h"

namespace lotse {
namespace {

constexpr int64_t kGroup = 128;      // of int4 weights where a chip takes any
constexpr int64_t kWideGroup = 256;  // of W4A8 where it does not

const char* function_name(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return "silu";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::gelu_erf:
      return "gelu_erf";
  }
  return "";
}

// The weights whose format names the operator's arithmetic.
std::vector<WeightId> main_weights(const Operation& operation) {
  if (const auto* embed = std::get_if<Embed>(&operation)) return {embed->table};
  if (const auto* linear = std::get_if<Linear>(&operation)) return {linear->weight};
  if (const auto* moe = std::get_if<Moe>(&operation)) return {moe->gate_up, moe->down};
  return {};
}

int64_t columns_of(const Program& program, ValueId id) {
  return program.values[static_cast<size_t>(id)].columns;
}

std::string shape_of(const Program& program, const Operation& operation) {
  const std::vector<WeightId> weights = main_weights(operation);
  if (!weights.empty()) {
    const WeightDecl& first = program.weights[static_cast<size_t>(weights.front())];
    const std::string matrix = fmt::format("{} x {}", first.rows / first.experts, first.columns);
    const auto* moe = std::get_if<Moe>(&operation);
    return moe ? fmt::format("{} of {} experts, {}", moe->top_k, moe->experts, matrix) : matrix;
  }
  if (const auto* attention = std::get_if<Attention>(&operation)) {
    return fmt::format("{} / {} heads of {}", attention->heads, attention->kv_heads,
                       attention->head_dim);
  }
  if (const auto* rope = std::get_if<Rope>(&operation)) {
    return fmt::format("{} heads of {}", rope->heads, rope->head_dim);
  }
  if (const auto* attention = std::get_if<BidirectionalAttention>(&operation)) {
    return fmt::format("{} heads of {}", attention->heads, attention->head_dim);
  }
  const auto* norm = std::get_if<RmsNorm>(&operation);
  if (norm && norm->groups > 1) return fmt::format("{} heads of {}", norm->groups, norm->width);
  return fmt::format("{}", columns_of(program, output_of(operation)));
}

void add_matrix(OperatorQuery& query, const Program& program, const Storage& storage, WeightId id) {
  const auto index = static_cast<size_t>(id);
  const WeightDecl& weight = program.weights[index];
  query.weight_format = storage.weights[index].format;
  query.number["n"] = weight.rows / weight.experts;
  query.number["k"] = weight.columns;
  query.number["group"] = storage.weights[index].group;
}

// Changes what `support` asks to change; false when nothing is left to change.
bool convert(const Program& program, Storage& storage, const Op& op, const Support& support,
             const std::string& preferred) {
  if (support.status != Support::Status::converted) return false;
  const bool has_preferred = std::ranges::find(support.to, preferred) != support.to.end();
  const std::string& to = has_preferred ? preferred : support.to.front();
  switch (support.changes) {
    case Support::Changes::activations:
      storage.activation = to;
      return true;
    case Support::Changes::kv:
      storage.kv = to;
      return true;
    case Support::Changes::weights:
      break;
  }
  for (const WeightId id : main_weights(op.operation)) {
    const WeightStorage& before = storage.weights[static_cast<size_t>(id)];
    const bool regrouped = to == "w4a8" && before.format == "w4a8";
    set_format(storage, program, id, to, regrouped ? kWideGroup : kGroup);
  }
  return true;
}

auto question(const SupportRow& row) {
  const OperatorQuery& q = row.query;
  return std::tie(row.name, row.shape, q.kind, q.weight_format, q.activation, q.number, q.text);
}

}  // namespace

OperatorQuery operator_query(const Program& program, const Storage& storage, const Op& op) {
  OperatorQuery query;
  query.kind = kind_name(op.operation);
  query.activation = storage.activation;
  const std::vector<WeightId> weights = main_weights(op.operation);
  if (!weights.empty()) add_matrix(query, program, storage, weights.front());
  if (const auto* moe = std::get_if<Moe>(&op.operation)) query.number["experts"] = moe->experts;
  if (const auto* gated = std::get_if<GatedActivation>(&op.operation)) {
    query.text["function"] = function_name(gated->activation);
  }
  if (const auto* activate = std::get_if<Activate>(&op.operation)) {
    query.text["function"] = function_name(activate->activation);
  }
  if (const auto* attention = std::get_if<BidirectionalAttention>(&op.operation)) {
    query.number["head_dim"] = attention->head_dim;
    query.number["heads"] = attention->heads;
  }
  if (const auto* attention = std::get_if<Attention>(&op.operation)) {
    query.text["kv"] = storage.kv;
    query.number["head_dim"] = attention->head_dim;
    query.number["heads"] = attention->heads;
    query.number["gqa_ratio"] = attention->heads / attention->kv_heads;
    query.number["window"] = attention->window;
    query.number["softcap"] = attention->softcap > 0 ? 1 : 0;
  }
  return query;
}

std::vector<SupportRow> check_support(const Program& program, const Storage& storage,
                                      const ChipProfile& chip) {
  std::vector<SupportRow> rows;
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    const size_t prefix = op.layer == kNone ? 0 : op.name.rfind('.') + 1;
    SupportRow row{op.name.substr(prefix),
                   shape_of(program, op.operation),
                   0,
                   {},
                   operator_query(program, storage, op),
                   {}};
    auto same = std::ranges::find_if(
        rows, [&row](const SupportRow& other) { return question(other) == question(row); });
    if (same == rows.end()) {
      row.support = lookup(chip, row.query);
      rows.push_back(std::move(row));
      same = rows.end() - 1;
    }
    ++same->count;
    same->ops.push_back(i);
  }
  return rows;
}

Storage legalise(const Program& program, Storage storage, const ChipProfile& chip,
                 const std::string& preferred) {
  // A conversion can lead to another (weights, then activations); profiles need no more than four.
  constexpr int kSteps = 4;
  for (int step = 0; step < kSteps; ++step) {
    bool changed = false;
    for (const Op& op : program.ops) {
      const Support support = lookup(chip, operator_query(program, storage, op));
      changed = convert(program, storage, op, support, preferred) || changed;
    }
    if (!changed) break;
  }
  return storage;
}

}  // namespace lotse
