#include "runtime/soc.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <optional>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "runtime/error.h"
#include "runtime/profiles.h"

namespace lotse::emulator {
namespace {

constexpr double kBytesPerGiB = 1024.0 * 1024.0 * 1024.0;
// What every chip's tensors may hold; the profile adds the types that only some chips have.
constexpr DtypeSet kCommonDtypes = {ACL_FLOAT,  ACL_FLOAT16, ACL_INT8,     ACL_INT32, ACL_UINT8,
                                    ACL_INT16,  ACL_UINT16,  ACL_UINT32,   ACL_INT64, ACL_UINT64,
                                    ACL_DOUBLE, ACL_BOOL,    ACL_COMPLEX64};

// Assumed for chips whose profile has no link: PCIe 4.0 x 16 through the host.
constexpr Link kNoLink = {
    .devices = 1 << 20, .bytes_per_us = 24'000, .peer_bytes_per_us = 24'000, .latency_us = 5};

std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::vector<std::string> strings(toml::node_view<const toml::node> node) {
  std::vector<std::string> result;
  if (const auto one = node.value<std::string>()) result.push_back(*one);
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& item : *array) result.push_back(item.value_or(std::string()));
  }
  return result;
}

// A chip's tables, then those of its families in order: the first that has a key answers.
class Layers {
 public:
  explicit Layers(toml::table chip) {
    const auto families = strings(std::as_const(chip)["family"]);
    tables_.push_back(std::move(chip));
    for (const Profile& family : embedded_families()) {
      if (std::ranges::find(families, family.name) == families.end()) continue;
      auto parsed = toml::parse(family.text);
      if (parsed) tables_.push_back(std::move(parsed).table());
    }
  }

  double number(const char* section, const char* key, double otherwise) const {
    for (const toml::table& table : tables_) {
      const auto node = table.at_path(section)[key];
      if (const auto value = node["value"].value<double>()) return *value;
      if (const auto value = node.value<double>()) return *value;
    }
    return otherwise;
  }

  std::vector<std::string> list(const char* key) const {
    for (const toml::table& table : tables_) {
      if (auto values = strings(table[key]); !values.empty()) return values;
    }
    return {};
  }

 private:
  std::vector<toml::table> tables_;
};

DtypeSet dtypes_of(const std::vector<std::string>& names) {
  static const std::map<std::string, aclDataType> table = {{"f32", ACL_FLOAT},
                                                           {"f16", ACL_FLOAT16},
                                                           {"bf16", ACL_BF16},
                                                           {"i64", ACL_INT64},
                                                           {"i32", ACL_INT32},
                                                           {"i16", ACL_INT16},
                                                           {"i8", ACL_INT8},
                                                           {"u8", ACL_UINT8},
                                                           {"bool", ACL_BOOL},
                                                           {"i4", ACL_INT4},
                                                           {"f8_e4m3", ACL_FLOAT8_E4M3FN},
                                                           {"f8_e5m2", ACL_FLOAT8_E5M2},
                                                           {"f4_e2m1", ACL_FLOAT4_E2M1}};
  DtypeSet set;
  for (const std::string& name : names) {
    if (const auto found = table.find(name); found != table.end())
      set = set | DtypeSet{found->second};
  }
  return set;
}

// SoC name to answer with when `wanted` (lower case) names this chip.
std::optional<std::string> match(const Layers& layers, const Profile& profile,
                                 const std::string& wanted) {
  const auto names = layers.list("soc");
  for (const std::string& name : names) {
    if (lowered(name) == wanted) return name;
  }
  std::string joined = profile.name;
  std::erase(joined, '-');
  if (!names.empty() && (wanted == profile.name || wanted == joined)) return names.front();
  return std::nullopt;
}

std::vector<Link> links_of(const Layers& layers) {
  std::vector<Link> links;
  for (const char* section : {"link.package", "link.node", "link.cluster"}) {
    const double bandwidth = layers.number(section, "bandwidth_gb_s", 0);
    if (bandwidth == 0) continue;
    const double rate = bandwidth * 1e3 * layers.number(section, "efficiency", 1);
    const double peer = layers.number(section, "peer_bandwidth_gb_s", bandwidth) * 1e3;
    links.push_back({.devices = static_cast<int32_t>(layers.number(section, "devices", 1 << 20)),
                     .bytes_per_us = rate,
                     .peer_bytes_per_us = std::min(rate, peer),
                     .latency_us = layers.number(section, "latency_us", 1)});
  }
  if (links.empty()) links.push_back(kNoLink);
  return links;
}

Soc describe(const Layers& layers, std::string name) {
  Soc soc;
  soc.name = std::move(name);
  soc.capacity = static_cast<int64_t>(layers.number("memory", "gb", 64) * kBytesPerGiB);
  soc.dtypes = kCommonDtypes | dtypes_of(layers.list("storage"));
  soc.cube_dtypes = dtypes_of(layers.list("matmul"));
  const double gemm = layers.number("efficiency", "gemm", 1);
  const double f16 = layers.number("peak", "f16_tflops", 100);
  const double i8 = layers.number("peak", "i8_tops", 2 * f16);
  // Teraoperations a second are millions a microsecond.
  soc.cube_f16_ops_per_us = f16 * 1e6 * gemm;
  soc.cube_i8_ops_per_us = i8 * 1e6 * layers.number("efficiency", "gemm_i8", gemm);
  soc.cube_i4_ops_per_us =
      layers.number("peak", "i4_tops", i8) * 1e6 * layers.number("efficiency", "gemm_i8", gemm);
  // Where the profile has no vector rate: 64 FP32 lanes a vector core and cycle.
  const double lanes = layers.number("cores", "vector", 8) * 64;
  soc.vector_ops_per_us = layers.number("peak", "vector_tflops",
                                        lanes * layers.number("cores", "clock_mhz", 1000) / 1e6) *
                          1e6;
  soc.bytes_per_us = layers.number("memory", "bandwidth_gb_s", 1000) * 1e3 *
                     layers.number("efficiency", "memory", 1);
  soc.links = links_of(layers);
  soc.other_floor_us = layers.number("launch", "other_us", 5);
  soc.matmul_floor_us = layers.number("launch", "matmul_us", soc.other_floor_us);
  soc.quantised_floor_us = layers.number("launch", "quantised_matmul_us", soc.matmul_floor_us);
  soc.attention_floor_us = layers.number("launch", "attention_us", soc.matmul_floor_us);
  return soc;
}

int32_t device_count() {
  const char* text = std::getenv("LOTSE_EMULATOR_DEVICES");
  if (text == nullptr) return 2;
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || count < 1 || count > 64) {
    fail(kInvalidParameter, "LOTSE_EMULATOR_DEVICES: got \"{}\", expected a number from 1 to 64",
         text);
  }
  return static_cast<int32_t>(count);
}

Soc load() {
  const char* text = std::getenv("LOTSE_EMULATOR_SOC");
  const std::string wanted = lowered(text == nullptr ? "Ascend910B3" : text);
  std::string known;
  for (const Profile& profile : embedded_chips()) {
    auto parsed = toml::parse(profile.text);
    if (!parsed)
      fail(kInternalError, "chip profile {}: {}", profile.name, parsed.error().description());
    const Layers layers(std::move(parsed).table());
    if (const auto name = match(layers, profile, wanted)) {
      Soc soc = describe(layers, *name);
      soc.device_count = device_count();
      return soc;
    }
    for (const std::string& name : layers.list("soc")) known += (known.empty() ? "" : ", ") + name;
  }
  fail(kInvalidParameter, "LOTSE_EMULATOR_SOC: no profile for \"{}\"; known are {}", text, known);
}

}  // namespace

const Soc& soc() {
  static const Soc instance = load();
  return instance;
}

}  // namespace lotse::emulator
