// The TOML of chip profiles.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "base/toml.h"
#include "chip/builtin.h"
#include "chip/profile.h"
#include "tensor/dtype.h"

namespace lotse {
namespace {

using Strings = std::vector<std::string>;

// A key with its value, and the table it stands in ("memory"; empty at the top).
struct Entry {
  std::string table;
  std::string key;
  const toml::node& node;

  std::string path() const { return table.empty() ? key : table + "." + key; }
};

// Reads one document into a profile, filling only what is not yet set, so that a chip's own file
// read before its families' takes precedence.
class Document {
 public:
  Document(std::string origin, bool is_family) : origin_(std::move(origin)), family_(is_family) {}

  Result<void> read(const toml::table& root, ChipProfile& chip) const {
    for (const Entry& entry : entries(root, "")) LOTSE_TRY(top_level(entry, chip));
    return {};
  }

 private:
  template <class... Args>
  std::unexpected<Error> wrong(const Entry& entry, fmt::format_string<Args...> format,
                               Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}:{}: {}: {}", origin_, entry.node.source().begin.line,
                entry.path(), fmt::format(format, std::forward<Args>(args)...));
  }

  static std::vector<Entry> entries(const toml::table& table, const std::string& name) {
    std::vector<Entry> list;
    for (const auto& [key, node] : table) list.push_back({name, std::string(key.str()), node});
    return list;
  }

  Result<std::vector<Entry>> table(const Entry& entry) const {
    if (!entry.node.is_table()) return wrong(entry, "expected a table");
    return entries(*entry.node.as_table(), entry.path());
  }

  Result<std::string> string(const Entry& entry) const {
    const auto* value = entry.node.as_string();
    if (!value) return wrong(entry, "expected a string");
    if (value->get().empty()) return wrong(entry, "must not be empty");
    return value->get();
  }

  // A string, or an array of strings.
  Result<Strings> strings(const Entry& entry) const {
    if (entry.node.is_string()) return Strings{LOTSE_TRY(string(entry))};
    const auto* array = entry.node.as_array();
    if (!array) return wrong(entry, "expected a string or an array of strings");
    if (array->empty()) return wrong(entry, "must not be empty");
    Strings list;
    for (const auto& element : *array) {
      list.push_back(LOTSE_TRY(string({entry.table, entry.key, element})));
    }
    return list;
  }

  Result<Strings> names(const Entry& entry, std::span<const std::string_view> known) const {
    Strings list = LOTSE_TRY(strings(entry));
    for (const std::string& item : list) {
      if (std::ranges::find(known, item) == known.end()) {
        return wrong(entry, "unknown \"{}\"; known: {}", item, fmt::join(known, ", "));
      }
    }
    return list;
  }

  Result<int64_t> integer(const Entry& entry, int64_t low, int64_t high) const {
    const auto* value = entry.node.as_integer();
    if (!value || value->get() < low || value->get() > high) {
      return wrong(entry, "expected an integer from {} to {}", low, high);
    }
    return value->get();
  }

  Result<double> number(const Entry& entry, double high) const {
    double value = 0;
    if (const auto* integer = entry.node.as_integer()) {
      value = static_cast<double>(integer->get());
    } else if (const auto* real = entry.node.as_floating_point()) {
      value = real->get();
    } else {
      return wrong(entry, "expected a number");
    }
    if (!(value > 0 && value <= high)) {
      return wrong(entry, "expected a number above 0 and up to {}, got {}", high, value);
    }
    return value;
  }

  // The enumerator of that name, up to `last`, the enumeration's last one.
  template <class Enum>
  Result<Enum> enumerator(const Entry& entry, Enum last) const {
    const std::string text = LOTSE_TRY(string(entry));
    std::vector<std::string_view> known;
    for (int i = 0; i <= static_cast<int>(last); ++i) {
      known.push_back(name(static_cast<Enum>(i)));
      if (text == known.back()) return static_cast<Enum>(i);
    }
    return wrong(entry, "unknown \"{}\"; known: {}", text, fmt::join(known, ", "));
  }

  // { value = 353.9, from = "derived", note = "…" }
  Result<Constant> constant(const Entry& entry, const ConstantField& field) const {
    constexpr double kLargest = 1e9;
    const bool is_share = std::string_view(field.table) == "efficiency" ||
                          std::string_view(field.key) == "efficiency";
    Constant constant;
    bool has_value = false;
    bool has_provenance = false;
    for (const Entry& part : LOTSE_TRY(table(entry))) {
      if (part.key == "value") {
        constant.value = LOTSE_TRY(number(part, is_share ? 1 : kLargest)) * field.scale;
        has_value = true;
      } else if (part.key == "from") {
        constant.from = LOTSE_TRY(enumerator(part, Provenance::press));
        has_provenance = true;
      } else if (part.key == "note") {
        constant.note = LOTSE_TRY(string(part));
      } else {
        return wrong(part, "unknown key; a constant has value, from, note");
      }
    }
    if (!has_value) return wrong(entry, "value is missing");
    if (!has_provenance) return wrong(entry, "from is missing: every constant states its source");
    const bool needs_note =
        constant.from == Provenance::derived || constant.from == Provenance::press;
    if (needs_note && constant.note.empty()) {
      return wrong(entry, "note is missing: a {} number says from what", name(constant.from));
    }
    return constant;
  }

  Result<void> constants(const std::vector<Entry>& items, ChipProfile& chip) const {
    for (const Entry& item : items) {
      const auto& fields = constant_fields();
      const auto field = std::ranges::find_if(fields, [&item](const ConstantField& candidate) {
        return item.table == candidate.table && item.key == candidate.key;
      });
      if (field == fields.end()) return wrong(item, "unknown key");
      Constant value = LOTSE_TRY(constant(item, *field));
      MaybeConstant& target = field->get(chip);
      if (!target) target = std::move(value);
    }
    return {};
  }

  Result<void> link(const Entry& entry, Link& link, ChipProfile& chip) const {
    std::vector<Entry> numbers;
    for (const Entry& item : LOTSE_TRY(table(entry))) {
      if (item.key == "devices") {
        const int64_t devices = LOTSE_TRY(integer(item, 2, 1'000'000));
        if (!link.devices) link.devices = devices;
      } else if (item.key == "topology") {
        constexpr std::array<std::string_view, 4> kKnown = {"pair", "mesh", "switch", "network"};
        const Strings topology = LOTSE_TRY(names(item, kKnown));
        if (link.topology.empty()) link.topology = topology.front();
      } else {
        numbers.push_back(item);
      }
    }
    return constants(numbers, chip);
  }

  Result<void> links(const Entry& entry, ChipProfile& chip) const {
    for (const Entry& item : LOTSE_TRY(table(entry))) {
      if (item.key == "package") {
        LOTSE_TRY(link(item, chip.package, chip));
      } else if (item.key == "node") {
        LOTSE_TRY(link(item, chip.node, chip));
      } else if (item.key == "cluster") {
        LOTSE_TRY(link(item, chip.cluster, chip));
      } else {
        return wrong(item, "unknown key; known: package, node, cluster");
      }
    }
    return {};
  }

  // { min = 1, max = 512, multiple = 16 }
  Result<NumberRange> range(const Entry& entry) const {
    constexpr int64_t kLargest = int64_t{1} << 40;
    NumberRange range;
    for (const Entry& part : LOTSE_TRY(table(entry))) {
      if (part.key == "min") {
        range.min = LOTSE_TRY(integer(part, 0, kLargest));
      } else if (part.key == "max") {
        range.max = LOTSE_TRY(integer(part, 0, kLargest));
      } else if (part.key == "multiple") {
        range.multiple = LOTSE_TRY(integer(part, 1, kLargest));
      } else {
        return wrong(part, "unknown key; a range has min, max, multiple");
      }
    }
    return range;
  }

  Result<void> conditions(const Entry& entry, OperatorRule& rule) const {
    for (const Entry& item : LOTSE_TRY(table(entry))) {
      if (std::ranges::find(number_options(), item.key) != number_options().end()) {
        rule.number[item.key] = LOTSE_TRY(range(item));
      } else if (std::ranges::find(text_options(), item.key) != text_options().end()) {
        rule.text[item.key] = LOTSE_TRY(strings(item));
      } else {
        return wrong(item, "unknown option; known: {}, {}", fmt::join(number_options(), ", "),
                     fmt::join(text_options(), ", "));
      }
    }
    return {};
  }

  Result<Strings> formats(const Entry& entry) const {
    std::vector<std::string_view> known(weight_formats().begin(), weight_formats().end());
    known.push_back("gguf");
    Strings list = LOTSE_TRY(names(entry, known));
    if (std::erase(list, "gguf") > 0) {
      list.insert(list.end(), gguf_formats().begin(), gguf_formats().end());
    }
    return list;
  }

  struct Seen {
    bool status = false;
    bool changes = false;
  };

  Result<void> rule_entry(const Entry& entry, OperatorRule& rule, Seen& seen) const {
    constexpr std::array<std::string_view, 3> kActivations = {"f32", "f16", "bf16"};
    Support& support = rule.support;
    if (entry.key == "kind") {
      if (entry.node.value<std::string_view>() == "any") {
        rule.kinds.assign(operator_kinds().begin(), operator_kinds().end());
      } else {
        rule.kinds = LOTSE_TRY(names(entry, operator_kinds()));
      }
    } else if (entry.key == "format") {
      rule.formats = LOTSE_TRY(formats(entry));
    } else if (entry.key == "activation") {
      rule.activations = LOTSE_TRY(names(entry, kActivations));
    } else if (entry.key == "when") {
      LOTSE_TRY(conditions(entry, rule));
    } else if (entry.key == "status") {
      support.status = LOTSE_TRY(enumerator(entry, Support::Status::missing));
      seen.status = true;
    } else if (entry.key == "changes") {
      support.changes = LOTSE_TRY(enumerator(entry, Support::Changes::kv));
      seen.changes = true;
    } else if (entry.key == "at_load") {
      if (!entry.node.is_boolean()) return wrong(entry, "expected true or false");
      support.at_load = entry.node.as_boolean()->get();
    } else if (entry.key == "by" || entry.key == "how") {
      support.how = LOTSE_TRY(string(entry));
    } else if (entry.key == "why") {
      support.why = LOTSE_TRY(string(entry));
    } else if (entry.key == "helps") {
      support.helps = LOTSE_TRY(string(entry));
    } else if (entry.key == "from") {
      support.from = LOTSE_TRY(strings(entry));
    } else if (entry.key == "to") {
      support.to = LOTSE_TRY(strings(entry));
    } else {
      return wrong(entry,
                   "unknown key; an operator has kind, format, activation, when, status, by, "
                   "changes, at_load, how, from, to, why, helps");
    }
    return {};
  }

  Result<OperatorRule> rule(const Entry& entry) const {
    OperatorRule rule;
    Seen seen;
    for (const Entry& item : LOTSE_TRY(table(entry))) {
      LOTSE_TRY(rule_entry(item, rule, seen));
    }
    if (rule.kinds.empty()) return wrong(entry, "kind is missing");
    if (!seen.status) return wrong(entry, "status is missing");
    const Support& support = rule.support;
    switch (support.status) {
      case Support::Status::native:
        if (support.how.empty()) return wrong(entry, "a native operator needs by");
        break;
      case Support::Status::converted:
        if (!seen.changes || support.how.empty() || support.to.empty()) {
          return wrong(entry, "a converted operator needs changes, how and to");
        }
        break;
      case Support::Status::composed:
        if (support.from.empty()) return wrong(entry, "a composed operator needs from");
        break;
      case Support::Status::missing:
        if (support.why.empty() || support.helps.empty()) {
          return wrong(entry, "a missing operator needs why and helps");
        }
        break;
    }
    return rule;
  }

  Result<void> operators(const Entry& entry, ChipProfile& chip) const {
    const toml::array* array = entry.node.as_array();
    if (!array) return wrong(entry, "expected [[operator]] tables");
    for (const auto& element : *array) {
      chip.rules.push_back(LOTSE_TRY(rule({"", "operator", element})));
    }
    return {};
  }

  Result<void> dtypes(const Entry& entry, Strings& target) const {
    Strings list = LOTSE_TRY(strings(entry));
    for (const std::string& item : list) {
      const bool known = item == "tf32" || dtype_from_name(item).has_value();
      if (!known) return wrong(entry, "unknown dtype \"{}\"", item);
    }
    if (target.empty()) target = std::move(list);
    return {};
  }

  Result<void> top_level(const Entry& entry, ChipProfile& chip) const {
    constexpr std::array<std::string_view, 7> kTables = {"cores",  "memory", "peak", "efficiency",
                                                         "launch", "power",  "price"};
    const std::string& key = entry.key;
    if (std::ranges::find(kTables, key) != kTables.end()) {
      return constants(LOTSE_TRY(table(entry)), chip);
    }
    if (key == "link") return links(entry, chip);
    if (key == "operator") return operators(entry, chip);
    if (key == "storage") return dtypes(entry, chip.storage);
    if (key == "matmul") return dtypes(entry, chip.matmul);
    if (family_) return wrong(entry, "unknown key in a family");
    if (key == "name") {
      chip.name = LOTSE_TRY(string(entry));
    } else if (key == "title") {
      chip.title = LOTSE_TRY(string(entry));
    } else if (key == "vendor") {
      chip.vendor = LOTSE_TRY(string(entry));
    } else if (key == "note") {
      chip.note = LOTSE_TRY(string(entry));
    } else if (key == "family") {
      chip.families = LOTSE_TRY(strings(entry));
    } else if (key == "soc") {
      chip.soc_names = LOTSE_TRY(strings(entry));
    } else if (key == "devices_per_chip") {
      chip.devices_per_chip = LOTSE_TRY(integer(entry, 1, 64));
    } else {
      return wrong(entry, "unknown key");
    }
    return {};
  }

  std::string origin_;
  bool family_;
};

Result<void> read_document(std::string_view text, const std::string& origin, bool is_family,
                           ChipProfile& chip) {
  const toml::table root = LOTSE_TRY(parse_toml(text, origin));
  return Document(origin, is_family).read(root, chip);
}

Result<std::string> family_text(const std::string& family, const std::string& folder,
                                const std::string& origin) {
  const bool plain = !family.empty() && std::ranges::all_of(family, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (plain && !folder.empty()) {
    std::ifstream file(folder + "/families/" + family + ".toml", std::ios::binary);
    if (file) return std::string{std::istreambuf_iterator<char>(file), {}};
  }
  const auto builtin = builtin_chip("families/" + family);
  if (!plain || !builtin) {
    return fail(ErrorCode::not_found, "{}: family: no family is called \"{}\"", origin, family);
  }
  return std::string(*builtin);
}

}  // namespace

Result<ChipProfile> parse_chip(std::string_view text, const std::string& origin,
                               const std::string& folder) {
  ChipProfile chip;
  LOTSE_TRY(read_document(text, origin, false, chip));
  for (const std::string& family : chip.families) {
    const std::string shared = LOTSE_TRY(family_text(family, folder, origin));
    LOTSE_TRY(read_document(shared, "families/" + family + ".toml", true, chip));
  }
  for (const auto& [key, value] : {std::pair{"name", &chip.name}, std::pair{"title", &chip.title},
                                   std::pair{"vendor", &chip.vendor}}) {
    if (value->empty()) return fail(ErrorCode::invalid_input, "{}: {} is missing", origin, key);
  }
  if (chip.storage.empty()) {
    return fail(ErrorCode::invalid_input, "{}: storage is missing: name the dtypes it can hold",
                origin);
  }
  return chip;
}

}  // namespace lotse
