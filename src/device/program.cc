#include "device/program.h"

#include <algorithm>

namespace lotse {
namespace {

template <class... F>
struct Overload : F... {
  using F::operator()...;
};

std::vector<WeightId> present(std::initializer_list<WeightId> ids) {
  std::vector<WeightId> kept;
  for (const WeightId id : ids) {
    if (id != kNone) kept.push_back(id);
  }
  return kept;
}

}  // namespace

const char* kind_name(const Operation& operation) {
  return std::visit(
      Overload{
          [](const Embed&) { return "embed"; }, [](const Linear&) { return "linear"; },
          [](const RmsNorm&) { return "rms_norm"; }, [](const LayerNorm&) { return "layer_norm"; },
          [](const Rope&) { return "rope"; }, [](const Attention&) { return "attention"; },
          [](const BidirectionalAttention&) { return "bidirectional_attention"; },
          [](const Activate&) { return "activation"; },
          [](const GatedActivation&) { return "gated_activation"; },
          [](const Add&) { return "add"; }, [](const GatherRows&) { return "gather_rows"; },
          [](const Softcap&) { return "softcap"; }, [](const Moe&) { return "moe"; },
          [](const LowRank&) { return "low_rank"; }, [](const AllReduce&) { return "all_reduce"; },
          [](const AllGather&) { return "all_gather"; }},
      operation);
}

ValueId output_of(const Operation& operation) {
  return std::visit(
      Overload{[](const Rope& op) { return op.value; }, [](const Softcap& op) { return op.value; },
               [](const AllReduce& op) { return op.value; }, [](const auto& op) { return op.out; }},
      operation);
}

std::vector<ValueId> inputs_of(const Operation& operation) {
  using Ids = std::vector<ValueId>;
  return std::visit(
      Overload{[](const Embed&) { return Ids{}; }, [](const Rope& op) { return Ids{op.value}; },
               [](const Softcap& op) { return Ids{op.value}; },
               [](const AllReduce& op) { return Ids{op.value}; },
               [](const Attention& op) { return Ids{op.qkv}; },
               [](const BidirectionalAttention& op) { return Ids{op.qkv}; },
               [](const Add& op) { return Ids{op.a, op.b}; },
               [](const LowRank& op) { return Ids{op.in, op.out}; },
               [](const auto& op) { return Ids{op.in}; }},
      operation);
}

std::vector<WeightId> weights_of(const Operation& operation) {
  return std::visit(
      Overload{[](const Embed& op) { return present({op.table}); },
               [](const Linear& op) { return present({op.weight, op.bias}); },
               [](const RmsNorm& op) { return present({op.weight}); },
               [](const LayerNorm& op) { return present({op.weight, op.bias}); },
               [](const LowRank& op) { return present({op.down, op.up}); },
               [](const Moe& op) { return present({op.router, op.gate_up, op.down}); },
               [](const auto&) { return std::vector<WeightId>{}; }},
      operation);
}

std::span<const Op> operators_until(const Program& program, ValueId result) {
  const auto last = std::find_if(program.ops.rbegin(), program.ops.rend(),
                                 [&](const Op& op) { return output_of(op.operation) == result; });
  return {program.ops.begin(), last.base()};
}

bool needs_whole_sequences(const Program& program) {
  return std::ranges::any_of(program.ops, [](const Op& op) {
    return std::holds_alternative<BidirectionalAttention>(op.operation);
  });
}

bool has_collectives(const Program& program) {
  return std::ranges::any_of(program.ops, [](const Op& op) {
    return std::holds_alternative<AllReduce>(op.operation) ||
           std::holds_alternative<AllGather>(op.operation);
  });
}

}  // namespace lotse
