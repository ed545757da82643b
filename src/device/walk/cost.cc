#include "device/walk/cost.h"

#include <algorithm>
#include <cmath>

namespace lotse {
namespace {

bool is_float(const std::string& format) {
  return format == "f32" || format == "f16" || format == "bf16";
}

MathType activation_math(const std::string& activation) {
  return math_type_from_name(activation).value_or(MathType::f32);
}

// The unit that multiplies: the activations' type unless both sides are quantised.
MathType weight_math(const std::string& format, const std::string& activation) {
  if (format == "w8a8" || format == "w4a8") return MathType::i8;
  if (format.starts_with("fp8_")) return MathType::f8;
  // Plain weights narrower than the activations are widened to them, wider ones narrow nothing.
  if (format == "f32") return MathType::f32;
  return activation_math(activation);
}

// One operator's cost, with the program at hand. The visitor has one overload an operator.
class Coster {
 public:
  Coster(const Program& program, const Storage& storage, const StepShape& step)
      : program_(program),
        storage_(storage),
        step_(step),
        element_(element_bytes(storage.activation)) {}

  OperatorCost operator()(const Embed& op) const {
    const double written = value_bytes(op.out);
    return {0, MathType::vector, rows(op.out) * row_bytes(op.table), written, OperatorClass::other};
  }

  OperatorCost operator()(const Linear& op) const {
    OperatorCost cost = product(rows(op.in), op.weight);
    cost.bytes_read = weight(op.weight).bytes + value_bytes(op.in);
    cost.bytes_written = value_bytes(op.out);
    return cost;
  }

  OperatorCost operator()(const RmsNorm& op) const {
    const double elements = rows(op.in) * static_cast<double>(op.groups * op.width);
    return vector(4 * elements, elements, elements);
  }

  OperatorCost operator()(const LayerNorm& op) const {
    const double elements = this->elements(op.in);
    return vector(8 * elements, elements, elements);
  }

  OperatorCost operator()(const Rope& op) const {
    const auto& table = program_.ropes[static_cast<size_t>(op.table)];
    const double elements = rows(op.value) * static_cast<double>(op.heads) * 2 *
                            static_cast<double>(table.inverse_frequency.size());
    return vector(3 * elements, elements, elements);
  }

  OperatorCost operator()(const Attention& op) const {
    const auto sequences = static_cast<double>(step_.sequences);
    const double keys = attended_keys(step_.new_tokens, step_.context, op.window);
    const auto queries = static_cast<double>(op.heads * op.head_dim);
    const double position =
        2 * static_cast<double>(op.kv_heads * op.head_dim) * element_bytes(storage_.kv);
    const int64_t reach = op.window > 0 ? op.window + step_.new_tokens - 1 : step_.context;
    const auto cached = static_cast<double>(std::min(step_.context, reach));
    return {4 * sequences * keys * queries, activation_math(storage_.activation),
            value_bytes(op.qkv) + sequences * cached * position,
            value_bytes(op.out) + rows(op.qkv) * position, OperatorClass::attention};
  }

  OperatorCost operator()(const BidirectionalAttention& op) const {
    const double keys =
        static_cast<double>(step_.new_tokens) * static_cast<double>(step_.new_tokens);
    const auto width = static_cast<double>(op.heads * op.head_dim);
    return {4 * static_cast<double>(step_.sequences) * keys * width,
            activation_math(storage_.activation), value_bytes(op.qkv), value_bytes(op.out),
            OperatorClass::attention};
  }

  OperatorCost operator()(const Activate& op) const {
    const double elements = this->elements(op.out);
    return vector(8 * elements, elements, elements);
  }

  OperatorCost operator()(const GatedActivation& op) const {
    const double elements = this->elements(op.out);
    return vector(8 * elements, 2 * elements, elements);
  }

  OperatorCost operator()(const Add& op) const {
    const double elements = this->elements(op.out);
    return vector(elements, 2 * elements, elements);
  }

  OperatorCost operator()(const GatherRows& op) const {
    const double elements = this->elements(op.out);
    return vector(0, elements, elements);
  }

  OperatorCost operator()(const Softcap& op) const {
    const double elements = this->elements(op.value);
    return vector(4 * elements, elements, elements);
  }

  // As if every token used it.
  OperatorCost operator()(const LowRank& op) const {
    OperatorCost cost = product(rows(op.in), op.down);
    const OperatorCost up = product(rows(op.in), op.up);
    cost.flops += up.flops;
    cost.bytes_read += up.bytes_read + value_bytes(op.in) + value_bytes(op.out);
    cost.bytes_written = value_bytes(op.out);
    return cost;
  }

  // What a rank reads and writes of its own memory; what the links cost, all_reduce_time() says.
  OperatorCost operator()(const AllReduce& op) const {
    const double elements = this->elements(op.value);
    return vector(0, elements, elements);
  }

  OperatorCost operator()(const AllGather& op) const {
    return vector(0, this->elements(op.in), this->elements(op.out));
  }

  OperatorCost operator()(const Moe& op) const {
    const double tokens = rows(op.in);
    const auto chosen = static_cast<double>(op.top_k);
    const auto all = static_cast<double>(op.experts);
    const double touched = expected_experts(op.experts, op.top_k, static_cast<int64_t>(tokens));
    OperatorCost cost = product(tokens * chosen / all, op.gate_up);
    cost.flops += product(tokens * chosen / all, op.down).flops + product(tokens, op.router).flops;
    const double experts = weight(op.gate_up).bytes + weight(op.down).bytes;
    cost.bytes_read = weight(op.router).bytes + experts * touched / all + value_bytes(op.in);
    // The experts' inner values: [gate | up] and their product are written and read again.
    const double inner = 3 * tokens * chosen * static_cast<double>(op.width) * element_;
    cost.bytes_read += inner;
    cost.bytes_written = value_bytes(op.out) + inner;
    return cost;
  }

 private:
  const Value& at(ValueId id) const { return program_.values[static_cast<size_t>(id)]; }
  const WeightStorage& weight(WeightId id) const {
    return storage_.weights[static_cast<size_t>(id)];
  }
  double rows(ValueId id) const {
    return static_cast<double>(at(id).rows == Rows::tokens ? step_.tokens()
                                                           : step_.sequences * step_.outputs);
  }
  double elements(ValueId id) const { return rows(id) * static_cast<double>(at(id).columns); }
  double value_bytes(ValueId id) const { return elements(id) * element_; }
  double row_bytes(WeightId id) const {
    return weight(id).bytes / static_cast<double>(program_.weights[static_cast<size_t>(id)].rows);
  }

  OperatorCost vector(double flops, double read, double written) const {
    return {flops, MathType::vector, read * element_, written * element_, OperatorClass::other};
  }

  // `rows` rows times the transpose of a weight; bytes are left to the caller.
  OperatorCost product(double rows, WeightId id) const {
    const WeightDecl& decl = program_.weights[static_cast<size_t>(id)];
    const std::string& format = weight(id).format;
    OperatorCost cost;
    cost.flops = 2 * rows * static_cast<double>(decl.rows) * static_cast<double>(decl.columns);
    cost.math = weight_math(format, storage_.activation);
    cost.group = is_float(format) ? OperatorClass::matmul : OperatorClass::quantised_matmul;
    return cost;
  }

  const Program& program_;
  const Storage& storage_;
  const StepShape& step_;
  double element_;
};

}  // namespace

double attended_keys(int64_t new_tokens, int64_t context, int64_t window) {
  const auto n = static_cast<double>(new_tokens);
  const auto first = static_cast<double>(context - new_tokens + 1);
  const auto last = static_cast<double>(context);
  if (window <= 0 || window >= context) return n * (first + last) / 2;
  const auto w = static_cast<double>(window);
  if (w <= first) return n * w;
  const double growing = w - first;  // queries that see less than the window
  return growing * (first + w - 1) / 2 + (n - growing) * w;
}

double expected_experts(int64_t experts, int64_t top_k, int64_t tokens) {
  const double missed = 1 - static_cast<double>(top_k) / static_cast<double>(experts);
  return static_cast<double>(experts) * (1 - std::pow(missed, static_cast<double>(tokens)));
}

OperatorCost operator_cost(const Program& program, const Storage& storage, const Op& op,
                           const StepShape& step) {
  LOTSE_CHECK(step.new_tokens >= 1 && step.context >= step.new_tokens);
  return std::visit(Coster(program, storage, step), op.operation);
}

}  // namespace lotse
