#include "chip/roofline.h"

#include <array>

namespace lotse {
namespace {

double value_or(const MaybeConstant& constant, double fallback) {
  return constant ? constant->value : fallback;
}

double gemm_efficiency(const ChipProfile& chip, MathType math) {
  if (math == MathType::vector) return 1;
  const double general = value_or(chip.gemm_efficiency, 1);
  return math == MathType::i8 || math == MathType::i4 ? value_or(chip.gemm_i8_efficiency, general)
                                                      : general;
}

double memory_efficiency(const ChipProfile& chip, OperatorClass group) {
  const double general = value_or(chip.memory_efficiency, 1);
  switch (group) {
    case OperatorClass::quantised_matmul:
      return value_or(chip.memory_i8_efficiency, general);
    case OperatorClass::attention:
      return value_or(chip.memory_attention_efficiency, general);
    case OperatorClass::matmul:
    case OperatorClass::other:
      return general;
  }
  return general;
}

double launch_floor(const ChipProfile& chip, OperatorClass group) {
  const double other = value_or(chip.other_launch, 0);
  switch (group) {
    case OperatorClass::matmul:
      return value_or(chip.matmul_launch, other);
    case OperatorClass::quantised_matmul:
      return value_or(chip.quantised_matmul_launch, other);
    case OperatorClass::attention:
      return value_or(chip.attention_launch, other);
    case OperatorClass::other:
      return other;
  }
  return other;
}

}  // namespace

Result<Time> roofline(const ChipProfile& chip, const OperatorCost& cost, int64_t devices) {
  LOTSE_CHECK(devices > 0);
  if (!chip.memory_bandwidth) {
    return fail(
        ErrorCode::unsupported,
        "{}: memory bandwidth is not in the profile; measure this machine with `lotse bench "
        "--memory` or add it to a profile",
        chip.name);
  }
  Time time{launch_floor(chip, cost.group), Limit::launch};
  const auto at_least = [&time](double seconds, Limit limit) {
    if (seconds > time.seconds) time = {seconds, limit};
  };
  const auto share = static_cast<double>(devices);
  const MaybeConstant& rate = peak(chip, cost.math);
  if (rate) {
    at_least(cost.flops / share / (rate->value * gemm_efficiency(chip, cost.math)),
             cost.math == MathType::vector ? Limit::vector : Limit::compute);
  } else if (cost.math != MathType::vector && cost.flops > 0) {
    return fail(ErrorCode::unsupported, "{}: no peak rate of {} matrix products is known",
                chip.name, name(cost.math));
  }
  at_least((cost.bytes_read + cost.bytes_written) / share /
               (chip.memory_bandwidth->value * memory_efficiency(chip, cost.group)),
           Limit::memory);
  return time;
}

std::string_view name(Limit limit) {
  constexpr std::array<std::string_view, 4> kNames = {"compute", "vector", "memory", "launch"};
  return kNames[static_cast<size_t>(limit)];
}

}  // namespace lotse
