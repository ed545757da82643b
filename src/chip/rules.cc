#include "chip/rules.h"

#include <algorithm>
#include <array>

#include "chip/profile.h"

namespace lotse {
namespace {

constexpr std::array<std::string_view, 18> kKinds = {"embed",
                                                     "linear",
                                                     "rms_norm",
                                                     "layer_norm",
                                                     "rope",
                                                     "attention",
                                                     "bidirectional_attention",
                                                     "gated_activation",
                                                     "activation",
                                                     "add",
                                                     "scale",
                                                     "softcap",
                                                     "gather_rows",
                                                     "moe",
                                                     "mla",
                                                     "all_reduce",
                                                     "all_gather",
                                                     "all_to_all"};

constexpr std::array<std::string_view, 18> kFormats = {
    "f32",   "f16",  "bf16", "w8a8", "w4a16", "w4a8", "fp8_block", "fp8_channel", "fp8_tensor",
    "mxfp4", "q8_0", "q4_0", "q4_1", "q5_0",  "q5_1", "q4_k",      "q5_k",        "q6_k"};
constexpr size_t kFirstGguf = 10;

constexpr std::array<std::string_view, 10> kNumberOptions = {
    "head_dim", "heads", "gqa_ratio", "window", "softcap", "sinks", "experts", "k", "n", "group"};
constexpr std::array<std::string_view, 2> kTextOptions = {"kv", "function"};

bool admits(const std::vector<std::string>& list, const std::string& value) {
  return list.empty() || std::ranges::find(list, value) != list.end();
}

bool admits(const NumberRange& range, int64_t value) {
  return value >= range.min && value <= range.max && value % range.multiple == 0;
}

bool matches(const OperatorRule& rule, const OperatorQuery& query) {
  if (std::ranges::find(rule.kinds, query.kind) == rule.kinds.end()) return false;
  if (!admits(rule.formats, query.weight_format)) return false;
  if (!admits(rule.activations, query.activation)) return false;
  for (const auto& [key, range] : rule.number) {
    const auto found = query.number.find(key);
    if (!admits(range, found == query.number.end() ? 0 : found->second)) return false;
  }
  for (const auto& [key, values] : rule.text) {
    const auto found = query.text.find(key);
    if (!admits(values, found == query.text.end() ? std::string() : found->second)) return false;
  }
  return true;
}

}  // namespace

const OperatorRule* find_rule(const ChipProfile& chip, const OperatorQuery& query) {
  for (const OperatorRule& rule : chip.rules) {
    if (matches(rule, query)) return &rule;
  }
  return nullptr;
}

Support lookup(const ChipProfile& chip, const OperatorQuery& query) {
  if (const OperatorRule* rule = find_rule(chip, query)) return rule->support;
  Support none;
  none.why = fmt::format("the profile {} has no rule for {} {} {}", chip.name, query.kind,
                         query.weight_format, query.activation);
  none.helps = "add a rule to the profile (docs/chips.md)";
  return none;
}

std::string_view name(Support::Status status) {
  constexpr std::array<std::string_view, 4> kNames = {"native", "converted", "composed", "missing"};
  return kNames[static_cast<size_t>(status)];
}

std::string_view name(Support::Changes changes) {
  constexpr std::array<std::string_view, 3> kNames = {"weights", "activations", "kv"};
  return kNames[static_cast<size_t>(changes)];
}

std::span<const std::string_view> operator_kinds() { return kKinds; }
std::span<const std::string_view> weight_formats() { return kFormats; }
std::span<const std::string_view> gguf_formats() { return std::span(kFormats).subspan(kFirstGguf); }
std::span<const std::string_view> number_options() { return kNumberOptions; }
std::span<const std::string_view> text_options() { return kTextOptions; }

bool has_weights(std::string_view kind) {
  return kind == "embed" || kind == "linear" || kind == "moe" || kind == "mla";
}

}  // namespace lotse
