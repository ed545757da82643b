// The chip that is emulated: its name, capacity, data types and rates, from the profiles in chips/.
// LOTSE_EMULATOR_SOC names it by SoC ("Ascend910B3", the default), profile ("ascend-910c") or
// marketing name ("Ascend910C"). LOTSE_EMULATOR_DEVICES sets the number of devices (default 2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/api.h"
#include "runtime/dtype_set.h"

namespace lotse::emulator {

// Between devices: of one package, of one server, or of several.
struct Link {
  int32_t devices = 0;  // that it joins
  double bytes_per_us = 0;
  double peer_bytes_per_us = 0;  // the most that one pair gets
  double latency_us = 0;
};

struct Soc {
  std::string name;
  int64_t capacity = 0;  // bytes of device memory
  int32_t device_count = 2;
  DtypeSet dtypes;       // what tensors may hold
  DtypeSet cube_dtypes;  // what matrix products take
  bool is_310p() const { return name.starts_with("Ascend310P"); }

  // Rates, already multiplied by the profile's efficiencies.
  double cube_f16_ops_per_us = 0;
  double cube_i8_ops_per_us = 0;
  double cube_i4_ops_per_us = 0;
  double vector_ops_per_us = 0;
  double bytes_per_us = 0;
  double matmul_floor_us = 0, quantised_floor_us = 0, attention_floor_us = 0, other_floor_us = 0;
  std::vector<Link> links;  // the closest first; never empty
};

// Throws when LOTSE_EMULATOR_SOC names no known chip. Reads the environment once.
LOTSE_EMULATOR_API const Soc& soc();

}  // namespace lotse::emulator
