#include "device/walk/step.h"

#include <algorithm>

namespace lotse {
namespace {

// The innermost link that connects that many devices.
const Link& link_for(const ChipProfile& chip, int64_t devices) {
  if (devices <= chip.package.devices.value_or(0)) return chip.package;
  if (devices <= chip.node.devices.value_or(0)) return chip.node;
  return chip.cluster;
}

// What one device can send when `devices` of the link's take part: on a mesh, only the wires to
// them.
double link_bandwidth(const Link& link, int64_t devices) {
  double bandwidth = link.bandwidth->value;
  if (link.topology == "mesh" && link.peer_bandwidth) {
    bandwidth = std::min(bandwidth, link.peer_bandwidth->value * static_cast<double>(devices - 1));
  }
  return bandwidth * (link.efficiency ? link.efficiency->value : 1);
}

// How one operator's work spreads over tensor-parallel devices: what acts on whole rows of the
// residual stream is done by each, and the cache is divided by its heads.
struct Spread {
  int64_t compute;
  int64_t memory;
};

Spread spread_of(const Op& op, int64_t devices) {
  const auto* norm = std::get_if<RmsNorm>(&op.operation);
  if ((norm && norm->in != norm->out) || std::holds_alternative<Embed>(op.operation) ||
      std::holds_alternative<Add>(op.operation) ||
      std::holds_alternative<GatherRows>(op.operation)) {
    return {1, 1};
  }
  const auto* attention = std::get_if<Attention>(&op.operation);
  return {devices, attention ? std::min(devices, attention->kv_heads) : devices};
}

// Columns of the values that tensor parallelism has to sum.
std::vector<int64_t> reduced_columns(const Program& program) {
  std::vector<int64_t> columns;
  const auto add = [&](ValueId id) {
    columns.push_back(program.values[static_cast<size_t>(id)].columns);
  };
  // The linear behind an attention or a gated activation holds a share of its inputs only.
  std::vector<bool> is_sharded(program.values.size());
  for (const Op& op : program.ops) {
    if (const auto* attention = std::get_if<Attention>(&op.operation)) {
      is_sharded[static_cast<size_t>(attention->out)] = true;
    } else if (const auto* gated = std::get_if<GatedActivation>(&op.operation)) {
      is_sharded[static_cast<size_t>(gated->out)] = true;
    } else if (const auto* linear = std::get_if<Linear>(&op.operation)) {
      if (is_sharded[static_cast<size_t>(linear->in)]) add(linear->out);
    } else if (const auto* moe = std::get_if<Moe>(&op.operation)) {
      add(moe->out);
    }
  }
  return columns;
}

}  // namespace

Result<double> all_reduce_time(const ChipProfile& chip, double bytes, int64_t devices) {
  if (devices <= 1) return 0.0;
  const Link& link = link_for(chip, devices);
  if (!link.bandwidth) {
    return fail(ErrorCode::unsupported, "{}: no link that connects {} devices is in the profile",
                chip.name, devices);
  }
  const auto n = static_cast<double>(devices);
  const double latency = link.latency ? link.latency->value : 0;
  return 2 * (n - 1) / n * bytes / link_bandwidth(link, devices) + 2 * latency;
}

Result<StepTime> step_time(const Program& program, const Storage& storage, const StepShape& step,
                           const ChipProfile& chip, int64_t devices) {
  StepTime total;
  for (const Op& op : program.ops) {
    const OperatorCost cost = operator_cost(program, storage, op, step);
    const Spread spread = spread_of(op, devices);
    OperatorCost share = cost;
    share.flops /= static_cast<double>(spread.compute);
    share.bytes_read /= static_cast<double>(spread.memory);
    share.bytes_written /= static_cast<double>(spread.memory);
    const Time time = LOTSE_TRY(roofline(chip, share));
    total.seconds += time.seconds;
    total.flops += cost.flops;
    total.bytes += cost.bytes_read + cost.bytes_written;
    total.ops.push_back(time);
  }
  const double row = static_cast<double>(step.tokens()) * element_bytes(storage.activation);
  for (const int64_t columns : reduced_columns(program)) {
    total.communication +=
        LOTSE_TRY(all_reduce_time(chip, row * static_cast<double>(columns), devices));
  }
  total.seconds += total.communication;
  return total;
}

}  // namespace lotse
