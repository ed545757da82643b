#include "chip/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "chip/builtin.h"

namespace lotse {
namespace {

constexpr std::array<std::string_view, 5> kProvenances = {"measured", "file", "datasheet",
                                                          "derived", "press"};
constexpr std::array<std::string_view, kMathTypes> kMathNames = {
    "f32", "tf32", "f16", "bf16", "f8", "f4", "i8", "i4", "vector"};

template <MathType type>
MaybeConstant& peak_of(ChipProfile& chip) {
  return chip.peak[static_cast<size_t>(type)];
}

template <Link ChipProfile::* link, MaybeConstant Link::* member>
MaybeConstant& link_of(ChipProfile& chip) {
  return chip.*link.*member;
}

template <MaybeConstant ChipProfile::* member>
MaybeConstant& member_of(ChipProfile& chip) {
  return chip.*member;
}

template <Link ChipProfile::* link>
void add_link(std::vector<ConstantField>& fields, const char* table) {
  fields.push_back({table, "bandwidth_gb_s", 1e9, link_of<link, &Link::bandwidth>});
  fields.push_back({table, "peer_bandwidth_gb_s", 1e9, link_of<link, &Link::peer_bandwidth>});
  fields.push_back({table, "latency_us", 1e-6, link_of<link, &Link::latency>});
  fields.push_back({table, "efficiency", 1, link_of<link, &Link::efficiency>});
}

std::vector<ConstantField> make_fields() {
  using P = ChipProfile;
  std::vector<ConstantField> fields = {
      {"cores", "matrix", 1, member_of<&P::matrix_cores>},
      {"cores", "vector", 1, member_of<&P::vector_cores>},
      {"cores", "clock_mhz", 1e6, member_of<&P::clock>},
      {"memory", "gb", 1e9, member_of<&P::memory_bytes>},
      {"memory", "bandwidth_gb_s", 1e9, member_of<&P::memory_bandwidth>},
      {"memory", "l2_mib", 1024.0 * 1024.0, member_of<&P::l2_bytes>},
      {"peak", "f32_tflops", 1e12, peak_of<MathType::f32>},
      {"peak", "tf32_tflops", 1e12, peak_of<MathType::tf32>},
      {"peak", "f16_tflops", 1e12, peak_of<MathType::f16>},
      {"peak", "bf16_tflops", 1e12, peak_of<MathType::bf16>},
      {"peak", "f8_tflops", 1e12, peak_of<MathType::f8>},
      {"peak", "f4_tflops", 1e12, peak_of<MathType::f4>},
      {"peak", "i8_tops", 1e12, peak_of<MathType::i8>},
      {"peak", "i4_tops", 1e12, peak_of<MathType::i4>},
      {"peak", "vector_tflops", 1e12, peak_of<MathType::vector>},
      {"efficiency", "gemm", 1, member_of<&P::gemm_efficiency>},
      {"efficiency", "gemm_i8", 1, member_of<&P::gemm_i8_efficiency>},
      {"efficiency", "memory", 1, member_of<&P::memory_efficiency>},
      {"efficiency", "memory_i8", 1, member_of<&P::memory_i8_efficiency>},
      {"efficiency", "memory_attention", 1, member_of<&P::memory_attention_efficiency>},
      {"launch", "matmul_us", 1e-6, member_of<&P::matmul_launch>},
      {"launch", "quantised_matmul_us", 1e-6, member_of<&P::quantised_matmul_launch>},
      {"launch", "attention_us", 1e-6, member_of<&P::attention_launch>},
      {"launch", "other_us", 1e-6, member_of<&P::other_launch>},
      {"power", "chip_w", 1, member_of<&P::power>},
      {"price", "chip_usd", 1, member_of<&P::price>},
      {"price", "hour_usd", 1, member_of<&P::price_per_hour>},
  };
  add_link<&P::package>(fields, "link.package");
  add_link<&P::node>(fields, "link.node");
  add_link<&P::cluster>(fields, "link.cluster");
  return fields;
}

Result<std::string> read_text(const std::string& path) {
  constexpr std::uintmax_t kMaxBytes = 1 << 20;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorCode::io, "{}: cannot read it: {}", path, error.message());
  if (size > kMaxBytes) {
    return fail(ErrorCode::limit, "{}: {} bytes; a chip profile has at most {}", path, size,
                kMaxBytes);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return fail(ErrorCode::io, "{}: reading failed", path);
  return text;
}

std::string override_directory() {
  const char* directory = std::getenv("LOTSE_CHIPS");
  return directory ? directory : "";
}

Result<ChipProfile> load_file(const std::string& path) {
  const std::string text = LOTSE_TRY(read_text(path));
  return parse_chip(text, path, std::filesystem::path(path).parent_path().string());
}

// "353.9" in the key's unit, or an em dash when unknown.
std::string cell(const MaybeConstant& constant, double scale) {
  if (!constant) return "—";
  return fmt::format("{:.5g} ({})", constant->value / scale, name(constant->from));
}

}  // namespace

std::string_view name(Provenance provenance) {
  return kProvenances[static_cast<size_t>(provenance)];
}

std::string_view name(MathType type) { return kMathNames[static_cast<size_t>(type)]; }

std::optional<MathType> math_type_from_name(std::string_view name) {
  const auto found = std::ranges::find(kMathNames, name);
  if (found == kMathNames.end()) return std::nullopt;
  return static_cast<MathType>(found - kMathNames.begin());
}

const MaybeConstant& peak(const ChipProfile& chip, MathType type) {
  return chip.peak[static_cast<size_t>(type)];
}

const std::vector<ConstantField>& constant_fields() {
  static const std::vector<ConstantField> fields = make_fields();
  return fields;
}

Result<ChipProfile> load_chip(const std::string& name) {
  if (name.ends_with(".toml")) return load_file(name);
  const std::vector<std::string> known = chip_names();
  if (std::ranges::find(known, name) == known.end()) {
    return fail(ErrorCode::not_found, "no chip is called \"{}\"; known: {} (or a path to a .toml)",
                name, fmt::join(known, ", "));
  }
  const std::string directory = override_directory();
  const std::string path = directory + "/" + name + ".toml";
  if (!directory.empty() && std::filesystem::exists(path)) return load_file(path);
  return parse_chip(*builtin_chip(name), "chips/" + name + ".toml");
}

std::vector<std::string> chip_names() {
  std::set<std::string> names;
  for (const BuiltinFile& file : builtin_files()) {
    if (file.name.find('/') == std::string_view::npos) names.emplace(file.name);
  }
  const std::string directory = override_directory();
  std::error_code error;
  if (!directory.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
      if (entry.path().extension() == ".toml") names.insert(entry.path().stem().string());
    }
  }
  return {names.begin(), names.end()};
}

std::string markdown_table(const std::vector<ChipProfile>& chips) {
  std::string table =
      "| chip | devices a chip | memory GB | bandwidth GB/s | BF16 TFLOPS | INT8 TOPS | FP8 TFLOPS "
      "| W a chip | USD a chip | USD a chip and hour "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const ChipProfile& chip : chips) {
    table += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", chip.name,
                         chip.devices_per_chip, cell(chip.memory_bytes, 1e9),
                         cell(chip.memory_bandwidth, 1e9), cell(peak(chip, MathType::bf16), 1e12),
                         cell(peak(chip, MathType::i8), 1e12), cell(peak(chip, MathType::f8), 1e12),
                         cell(chip.power, 1), cell(chip.price, 1), cell(chip.price_per_hour, 1));
  }
  return table;
}

}  // namespace lotse
