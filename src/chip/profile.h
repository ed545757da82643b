// What Lotse knows about a chip: constants with their provenance, and which operators it has.
// Profiles are TOML (chips/*.toml, format in docs/chips.md) and are built into the program.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chip/rules.h"

namespace lotse {

// Where a number comes from, strongest first.
enum class Provenance {
  measured,   // by a published or own measurement
  file,       // read from a configuration file of the vendor's software
  datasheet,  // the vendor's data sheet
  derived,    // computed from other numbers, which the note names
  press,      // announcements, articles, owners' reports: weak
};
std::string_view name(Provenance provenance);

struct Constant {
  double value = 0;  // in SI units: bytes, B/s, FLOP/s, s, W
  Provenance from = Provenance::press;
  std::string note;
};
using MaybeConstant = std::optional<Constant>;  // unknown is absent, never a guess

// Arithmetic units whose peak rates differ. `tf32` is Nvidia's TF32 and Ascend's HF32.
enum class MathType { f32, tf32, f16, bf16, f8, f4, i8, i4, vector };
inline constexpr size_t kMathTypes = 9;
std::string_view name(MathType type);
std::optional<MathType> math_type_from_name(std::string_view name);

// A connection as one device sees it. Bandwidths are one way.
struct Link {
  std::optional<int64_t> devices;  // how many devices it connects, this one included
  std::string topology;            // "pair", "mesh", "switch", "network", or empty
  MaybeConstant bandwidth;         // B/s out of a device to all others together
  MaybeConstant peer_bandwidth;    // B/s to a single other device, when that is less
  MaybeConstant latency;           // s for a message without payload
  MaybeConstant efficiency;        // achieved share of the bandwidth, 0 to 1
};

// A chip is what is bought; a device is what a program addresses. Ascend 910C is one chip with two
// devices. Everything here is per device unless it says otherwise.
struct ChipProfile {
  std::string name;    // "ascend-910b2"
  std::string title;   // for people
  std::string vendor;  // "huawei", "nvidia", "any"
  std::string note;    // caveats about the whole profile
  std::vector<std::string> families;
  std::vector<std::string> soc_names;  // as the vendor's runtime reports them
  int64_t devices_per_chip = 1;
  std::vector<std::string> storage;  // dtypes a tensor may have in memory
  std::vector<std::string> matmul;   // dtypes the matrix unit multiplies natively

  MaybeConstant matrix_cores, vector_cores, clock;  // counts, Hz
  MaybeConstant memory_bytes, memory_bandwidth, l2_bytes;
  std::array<MaybeConstant, kMathTypes> peak;  // FLOP/s (integer operations a second), dense

  // Achieved share of the peak, 0 to 1. The specific ones fall back on the general ones.
  MaybeConstant gemm_efficiency, gemm_i8_efficiency;
  MaybeConstant memory_efficiency, memory_i8_efficiency, memory_attention_efficiency;
  // Least time of one operator on the device, s.
  MaybeConstant matmul_launch, quantised_matmul_launch, attention_launch, other_launch;

  MaybeConstant power;           // W a chip
  MaybeConstant price;           // USD a chip
  MaybeConstant price_per_hour;  // USD a chip and hour
  Link package, node, cluster;   // between the dies of a chip, within a server, between servers

  std::vector<OperatorRule> rules;  // first match wins; see lookup() in chip/rules.h
};

const MaybeConstant& peak(const ChipProfile& chip, MathType type);

// One row of the format: where a constant stands in TOML and in the profile.
struct ConstantField {
  const char* table;  // "memory", "link.node", …
  const char* key;    // with its unit: "bandwidth_gb_s"
  double scale;       // SI units in one unit of the key
  MaybeConstant& (*get)(ChipProfile&);
};
const std::vector<ConstantField>& constant_fields();

// Parses one profile strictly: an unknown key, a wrong type or a number out of range is an error
// that names `origin`, line and key. Families are looked for in `folder`/families (where `folder`
// is not empty), then among the built-in ones.
Result<ChipProfile> parse_chip(std::string_view text, const std::string& origin,
                               const std::string& folder = "");

// The profile of that name: NAME.toml in the directory that LOTSE_CHIPS names, else the built-in
// one. A name that ends in ".toml" is a path.
Result<ChipProfile> load_chip(const std::string& name);

// Names that load_chip knows, sorted.
std::vector<std::string> chip_names();

// The numbers people compare, one Markdown row a chip, as docs/chips.md shows them.
std::string markdown_table(const std::vector<ChipProfile>& chips);

}  // namespace lotse
