#include "runtime/cost.h"

#include "runtime/soc.h"

namespace lotse::emulator {
namespace {

// Assumed: PCIe 4.0 × 16 as programs see it, and the start of a transfer.
constexpr double kHostLinkBytesPerUs = 24'000;
constexpr double kHostLinkLatencyUs = 5;

// FP32 rates are assumed: the profiles give none. A quarter of FP16's, HF32 half of it.
double cube_ops_per_us(CubeRate rate) {
  const Soc& chip = soc();
  switch (rate) {
    case CubeRate::f32:
      return chip.cube_f16_ops_per_us / 4;
    case CubeRate::hf32:
      return chip.cube_f16_ops_per_us / 2;
    case CubeRate::f16:
      return chip.cube_f16_ops_per_us;
    case CubeRate::i8:
      return chip.cube_i8_ops_per_us;
    case CubeRate::i4:
      return chip.cube_i4_ops_per_us;
  }
  return chip.cube_f16_ops_per_us;
}

double floor_us(Launch launch) {
  switch (launch) {
    case Launch::none:
      return 0;
    case Launch::other:
      return soc().other_floor_us;
    case Launch::matmul:
      return soc().matmul_floor_us;
    case Launch::quantised_matmul:
      return soc().quantised_floor_us;
    case Launch::attention:
      return soc().attention_floor_us;
  }
  return 0;
}

}  // namespace

Duration duration_of(const Cost& cost) {
  Duration time{floor_us(cost.launch), Limit::launch};
  const auto at_least = [&time](double us, Limit limit) {
    if (us > time.us) time = {us, limit};
  };
  at_least(cost.bytes / soc().bytes_per_us, Limit::memory);
  at_least(cost.cube_ops / cube_ops_per_us(cost.cube_rate), Limit::cube);
  at_least(cost.vector_ops / soc().vector_ops_per_us, Limit::vector);
  at_least(cost.fixed_us, Limit::link);
  return time;
}

const char* name_of(Limit limit) {
  switch (limit) {
    case Limit::none:
      return "none";
    case Limit::launch:
      return "launch";
    case Limit::memory:
      return "memory";
    case Limit::cube:
      return "cube";
    case Limit::vector:
      return "vector";
    case Limit::link:
      return "link";
  }
  return "none";
}

Cost host_link_cost(uint64_t bytes) {
  return {.fixed_us = kHostLinkLatencyUs + static_cast<double>(bytes) / kHostLinkBytesPerUs};
}

}  // namespace lotse::emulator
