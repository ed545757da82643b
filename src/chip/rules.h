// Whether a chip has an operator: natively, composed from others, after conversion, or not at all.
// The rules are data in chips/*.toml.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lotse {

struct ChipProfile;

struct Support {
  enum class Status {
    native,     // one operator of the vendor's library, named by `how`
    converted,  // after the conversion that `how` tells, into one of `to`
    composed,   // from the operators in `from`
    missing,    // `why`, and what `helps`
  };
  enum class Changes { weights, activations, kv };
  Status status = Status::missing;
  std::string how, why, helps;
  std::vector<std::string> from;
  Changes changes = Changes::weights;  // what a conversion changes,
  std::vector<std::string> to;         // and into which formats or dtypes, best first
  bool at_load = false;                // the device converts by itself: no port is needed
};
std::string_view name(Support::Status status);
std::string_view name(Support::Changes changes);

// What a program wants to run. Plain values, so that rules need to know nothing of programs.
struct OperatorQuery {
  std::string kind;                         // one of operator_kinds()
  std::string weight_format;                // one of weight_formats(); empty without weights
  std::string activation;                   // "f32", "f16" or "bf16"
  std::map<std::string, int64_t> number;    // keys of number_options(); absent counts as 0
  std::map<std::string, std::string> text;  // keys of text_options(); absent counts as ""
};

struct NumberRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
  int64_t multiple = 1;
};

// Matches a query whose kind is listed, whose format and activation are listed (an empty list
// admits any), and whose options satisfy every condition.
struct OperatorRule {
  std::vector<std::string> kinds, formats, activations;
  std::map<std::string, NumberRange> number;
  std::map<std::string, std::vector<std::string>> text;
  Support support;
};

// The first rule that matches, null when none does.
const OperatorRule* find_rule(const ChipProfile& chip, const OperatorQuery& query);

// The answer of that rule; `missing` when there is none.
Support lookup(const ChipProfile& chip, const OperatorQuery& query);

std::span<const std::string_view> operator_kinds();
std::span<const std::string_view> weight_formats();
std::span<const std::string_view> gguf_formats();
std::span<const std::string_view> number_options();
std::span<const std::string_view> text_options();
// Whether operators of this kind multiply or look up weights.
bool has_weights(std::string_view kind);

}  // namespace lotse
