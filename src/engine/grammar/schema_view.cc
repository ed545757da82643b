#include "engine/grammar/schema_view.h"

#include <algorithm>
#include <set>

#include "base/utf8.h"
#include "engine/grammar/regex_syntax.h"
#include "engine/grammar/schema_alternatives.h"
#include "engine/grammar/schema_format.h"

namespace lotse {
namespace {

using Json = SchemaJson;
using Kind = SchemaPart::Kind;

constexpr size_t kMaxChain = 200;

class Expander {
 public:
  Expander(SchemaDocument& document, SchemaView& out) : document_(document), out_(out) {}

  Result<void> add(const SchemaPart& part) {
    if (part.kind == Kind::any_of) {
      if (seen_groups_.insert(part.json).second) out_.groups.push_back(part.json);
      return {};
    }
    if (part.kind == Kind::negated) return add_negated(*part.json);
    const Json& schema = *part.json;
    LOTSE_TRY(document_.check(schema));
    if (schema == false) out_.impossible = true;
    if (schema.is_boolean()) return {};
    if (part.kind == Kind::whole) {
      if (std::ranges::find(path_, &schema) != path_.end() || path_.size() > kMaxChain) {
        return document_.problem(schema, ErrorCode::unsupported,
                                 "\"$ref\" leads back to itself before any text");
      }
      path_.push_back(&schema);
      LOTSE_TRY(add_referenced(schema));
      path_.pop_back();
    }
    if (seen_.insert(&schema).second) out_.nodes.push_back(&schema);
    return {};
  }

 private:
  Result<void> add_referenced(const Json& schema) {
    if (!done_.insert(&schema).second) return {};
    if (const Json* ref = document_.member(schema, "$ref")) {
      const Json* target = LOTSE_TRY(document_.resolve(schema, ref->get_ref<const std::string&>()));
      LOTSE_TRY(add({target}));
    }
    if (const Json* all = document_.member(schema, "allOf")) {
      for (const Json& branch : *all) LOTSE_TRY(add({&branch}));
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (const Json* list = document_.member(schema, keyword)) {
        LOTSE_TRY(add({list, Kind::any_of}));
      }
    }
    if (const Json* negated = document_.member(schema, "not")) {
      LOTSE_TRY(add({negated, Kind::negated}));
    }
    if (document_.is_own(schema)) {
      const Json* number = document_.member(schema, own_keyword::kNegated);
      if (number == nullptr) return {};
      return add({&document_.numbered(number->get<int64_t>()), Kind::negated});
    }
    for (const Json* group : LOTSE_TRY(conditions(document_, schema))) {
      LOTSE_TRY(add_alternatives(*group));
    }
    return {};
  }

  Result<void> add_negated(const Json& schema) {
    if (std::ranges::find(negated_path_, &schema) != negated_path_.end() ||
        negated_path_.size() > kMaxChain) {
      return document_.problem(schema, ErrorCode::unsupported,
                               "under \"not\" it leads back to itself before any text");
    }
    if (!negated_.insert(&schema).second) return {};
    negated_path_.push_back(&schema);
    LOTSE_TRY(add_alternatives(*LOTSE_TRY(negation(document_, schema))));
    negated_path_.pop_back();
    return {};
  }

  // One of which there is no choice holds at once.
  Result<void> add_alternatives(const Json& group) {
    const std::vector<Conjunction>& list = document_.alternatives(group);
    if (list.size() > 1) return add({&group, Kind::any_of});
    if (list.empty()) out_.impossible = true;
    for (const Conjunction& only : list) {
      for (const SchemaPart& part : Conjunction(only)) LOTSE_TRY(add(part));
    }
    return {};
  }

  SchemaDocument& document_;
  SchemaView& out_;
  std::vector<const Json*> path_;
  std::set<const Json*> seen_;
  std::set<const Json*> done_;
  std::set<const Json*> seen_groups_;
  std::set<const Json*> negated_;
  std::vector<const Json*> negated_path_;
};

Result<uint8_t> type_bits(SchemaDocument& document, const Json& schema, const Json& type) {
  static constexpr std::pair<std::string_view, uint8_t> kNames[] = {
      {"null", kNull},       {"boolean", kBoolean},
      {"integer", kInteger}, {"number", kInteger | kFraction},
      {"string", kString},   {"array", kArray},
      {"object", kObject},   {own_keyword::kFraction, kFraction}};
  uint8_t bits = 0;
  const std::vector<Json> names =
      type.is_array() ? type.get<std::vector<Json>>() : std::vector{type};
  for (const Json& name : names) {
    const auto known = std::ranges::find(kNames, name.get_ref<const std::string&>(),
                                         &std::pair<std::string_view, uint8_t>::first);
    const bool is_ours = name == own_keyword::kFraction;
    if (known == std::end(kNames) || (is_ours && !document.is_own(schema))) {
      return document.problem(schema, ErrorCode::invalid_input, "\"type\": {} is no type",
                              name.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    bits |= known->second;
  }
  return bits;
}

uint8_t type_of(const Json& value) {
  if (value.is_null()) return kNull;
  if (value.is_boolean()) return kBoolean;
  if (value.is_string()) return kString;
  if (value.is_array()) return kArray;
  if (value.is_object()) return kObject;
  if (!value.is_number_float()) return kInteger;
  const auto decimal = Decimal::parse(value.dump());
  return decimal && !decimal->is_whole() ? kFraction : kInteger;
}

// Keeps the values that are also in `list`.
void restrict_to(std::optional<std::vector<const Json*>>& values, std::vector<const Json*> list) {
  if (!values) {
    values = std::move(list);
    return;
  }
  std::set<std::string> texts;
  for (const Json* value : list) texts.insert(value->dump());
  std::erase_if(*values, [&](const Json* value) { return !texts.contains(value->dump()); });
}

// Takes excluded values out of types and values, as far as they stand there.
void exclude(SchemaView& view) {
  const auto excludes = [&](const Json& value) {
    return std::ranges::any_of(view.excluded, [&](const Json* e) { return *e == value; });
  };
  if (excludes(nullptr)) view.types &= static_cast<uint8_t>(~kNull);
  if (excludes(true) && excludes(false)) view.types &= static_cast<uint8_t>(~kBoolean);
  if (view.values) std::erase_if(*view.values, [&](const Json* v) { return excludes(*v); });
}

}  // namespace

Conjunction conjunction(std::vector<SchemaPart> parts) {
  Conjunction result;
  for (const SchemaPart& part : parts) {
    const bool known = std::ranges::find(result, part) != result.end();
    const bool says_nothing = part.kind == Kind::whole && *part.json == true;
    if (!known && !says_nothing) result.push_back(part);
  }
  return result;
}

Conjunction SchemaView::rest(const Json* without_group) const {
  std::vector<SchemaPart> parts;
  for (const Json* node : nodes) parts.push_back({node, Kind::plain});
  for (const Json* group : groups) {
    if (group != without_group) parts.push_back({group, Kind::any_of});
  }
  return conjunction(std::move(parts));
}

Result<SchemaView> view(SchemaDocument& document, const Conjunction& parts) {
  SchemaView result;
  Expander expander(document, result);
  for (const SchemaPart& part : parts) LOTSE_TRY(expander.add(part));
  for (const Json* node : result.nodes) {
    if (const Json* type = document.member(*node, "type")) {
      uint8_t bits = LOTSE_TRY(type_bits(document, *node, *type));
      const Json* nullable = document.member(*node, "nullable");
      if (nullable != nullptr && *nullable == true) bits |= kNull;
      result.types &= bits;
    }
    if (const Json* list = document.member(*node, "enum")) {
      std::vector<const Json*> values;
      for (const Json& value : *list) values.push_back(&value);
      restrict_to(result.values, std::move(values));
    }
    if (const Json* value = document.member(*node, "const")) restrict_to(result.values, {value});
    if (!document.is_own(*node)) continue;
    if (const Json* list = document.member(*node, own_keyword::kExcluded)) {
      for (const Json& value : *list) result.excluded.push_back(&value);
    }
  }
  exclude(result);
  if (result.values) {
    std::erase_if(*result.values,
                  [&](const Json* value) { return (type_of(*value) & result.types) == 0; });
    uint8_t types = 0;
    for (const Json* value : *result.values) types |= type_of(*value);
    result.types &= types;
  }
  if (result.types == 0) result.impossible = true;
  return result;
}

int64_t count_of(const Json& value, int64_t most) {
  if (value.is_number_float()) {
    return value.get<double>() < static_cast<double>(most) ? value.get<int64_t>() : most;
  }
  return static_cast<int64_t>(
      std::min<uint64_t>(value.get<uint64_t>(), static_cast<uint64_t>(most)));
}

namespace {

// The stricter of two bounds.
void tighten(std::optional<Decimal>& bound, bool& exclusive, const Decimal& other,
             bool other_exclusive, bool upper) {
  const auto value = [](const Decimal& d) {
    return std::pair(d.negative ? -d.whole : d.whole, d.fraction);
  };
  if (bound) {
    const auto [a, a_fraction] = value(*bound);
    const auto [b, b_fraction] = value(other);
    // Fractions of negative numbers grow downwards.
    bool less = a != b ? a < b
                : bound->negative != other.negative
                    ? bound->negative
                    : (bound->negative ? b_fraction < a_fraction : a_fraction < b_fraction);
    const bool equal = *bound == other;
    if (equal) {
      exclusive = exclusive || other_exclusive;
      return;
    }
    if (less == upper) return;
  }
  bound = other;
  exclusive = other_exclusive;
}

Result<Dfa> form_of_pattern(const Json& pattern, DfaBudget& budget) {
  const Expression expression =
      LOTSE_TRY(parse_regex(pattern.get_ref<const std::string&>(), RegexDialect::ecma));
  return to_dfa(expression, RegexMatch::anywhere, budget);
}

// Of a supported format.
Result<Dfa> form_of_format(std::string_view name, DfaBudget& budget) {
  return to_dfa(*parse_regex(*pattern_of_format(name), RegexDialect::pcre), RegexMatch::whole,
                budget);
}

}  // namespace

Result<Dfa> dfa_of_texts(std::span<const std::string> texts, DfaBudget& budget) {
  Expression all = Expression::of(Expression::Kind::alternation);
  for (const std::string& text : texts) {
    Expression one;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = decode_utf8(text, at);
      at += static_cast<size_t>(c.length);
      one.parts.push_back(Expression::of(CodePointSet{{c.code_point, c.code_point}}));
    }
    all.parts.push_back(std::move(one));
  }
  return to_dfa(all, RegexMatch::whole, budget);
}

Result<NumberRules> number_rules(SchemaDocument& document, const SchemaView& view) {
  NumberRules rules;
  for (const Json* value : view.excluded) {
    if (!value->is_number()) continue;
    const auto decimal = Decimal::parse(value->dump());
    if (!decimal) continue;  // beyond every number that is written under a rule
    rules.excluded.push_back(*decimal);
  }
  rules.any = std::ranges::any_of(view.excluded, [](const Json* v) { return v->is_number(); });
  for (const Json* node : view.nodes) {
    for (const bool upper : {false, true}) {
      const Json* plain = document.member(*node, upper ? "maximum" : "minimum");
      const Json* strict = document.member(*node, upper ? "exclusiveMaximum" : "exclusiveMinimum");
      const bool flag = strict != nullptr && *strict == true;
      for (const Json* bound : {plain, strict}) {
        if (bound == nullptr || bound->is_boolean()) continue;
        rules.any = true;  // also where it is beyond every number that is then written
        const auto decimal = Decimal::parse(bound->dump());
        const bool negative = bound->get<double>() < 0;
        if (!decimal) {
          if (negative != upper) continue;
          return document.problem(*node, ErrorCode::limit, "the bound {} is beyond 18 digits",
                                  bound->dump());
        }
        tighten(upper ? rules.bounds.high : rules.bounds.low,
                upper ? rules.bounds.high_exclusive : rules.bounds.low_exclusive, *decimal,
                flag || bound == strict, upper);
      }
    }
    if (const Json* divisor = document.member(*node, "multipleOf")) {
      const auto decimal = Decimal::parse(divisor->dump());
      const bool tenth = decimal && decimal->whole == 0 && decimal->fraction.ends_with('1') &&
                         decimal->fraction.find_first_not_of('0') == decimal->fraction.size() - 1;
      if (decimal && !decimal->negative && decimal->is_whole() && decimal->whole >= 1 &&
          decimal->whole <= 10'000) {
        rules.divisors.push_back(decimal->whole);
      } else if (tenth) {
        const auto places = static_cast<int64_t>(decimal->fraction.size());
        rules.fraction_digits = std::min(rules.fraction_digits.value_or(places), places);
      } else {
        return document.problem(*node, ErrorCode::unsupported,
                                "\"multipleOf\": {} is not supported: 1 to 10000 and 0.1, 0.01 and "
                                "so on are",
                                divisor->dump());
      }
      rules.any = true;
    }
    const Json* format = document.member(*node, "format");
    if (format != nullptr && (*format == "int32" || *format == "uint32")) {
      const bool is_signed = *format == "int32";
      tighten(rules.bounds.low, rules.bounds.low_exclusive,
              is_signed ? Decimal{true, 2147483648, {}} : Decimal{}, false, false);
      tighten(rules.bounds.high, rules.bounds.high_exclusive,
              Decimal{false, is_signed ? 2147483647 : 4294967295, {}}, false, true);
      rules.any = true;
    }
  }
  return rules;
}

Result<StringRules> string_rules(SchemaDocument& document, const SchemaView& view,
                                 DfaBudget& budget) {
  constexpr int64_t kMost = 1'000'000;
  StringRules rules;
  const auto restrict_form = [&](const Json& node, const char* keyword,
                                 Result<Dfa> dfa) -> Result<void> {
    if (dfa && rules.form) dfa = intersection(*rules.form, *dfa, budget);
    if (!dfa) {
      return document.problem(node, dfa.error().code, "\"{}\": {}", keyword, dfa.error().message);
    }
    rules.form = *std::move(dfa);
    return {};
  };
  std::vector<std::string> excluded;
  for (const Json* value : view.excluded) {
    if (value->is_string()) excluded.push_back(value->get<std::string>());
  }
  if (!excluded.empty()) {
    auto others = dfa_of_texts(excluded, budget);
    if (others) others = complement(*others);
    LOTSE_TRY(restrict_form(*view.nodes[0], "not", std::move(others)));
  }
  for (const Json* node : view.nodes) {
    if (const Json* min = document.member(*node, "minLength")) {
      rules.min = std::max(rules.min, count_of(*min, kMost));
    }
    if (const Json* max = document.member(*node, "maxLength")) {
      const int64_t limit = count_of(*max, kMost);
      rules.max = rules.max < 0 ? limit : std::min(rules.max, limit);
    }
    if (const Json* pattern = document.member(*node, "pattern")) {
      LOTSE_TRY(restrict_form(*node, "pattern", form_of_pattern(*pattern, budget)));
    }
    if (document.is_own(*node)) {
      const Json* pattern = document.member(*node, own_keyword::kNotPattern);
      if (pattern == nullptr) continue;
      auto form = form_of_pattern(*pattern, budget);
      if (form) form = complement(*form);
      LOTSE_TRY(restrict_form(*node, "pattern", std::move(form)));
    }
    const Json* encoding = document.member(*node, "contentEncoding");
    if (encoding != nullptr && *encoding == "base64") {
      LOTSE_TRY(restrict_form(*node, "contentEncoding", form_of_format("byte", budget)));
    }
    if (const Json* format = document.member(*node, "format")) {
      const auto& name = format->get_ref<const std::string&>();
      if (is_annotation_format(name)) continue;
      const auto pattern = pattern_of_format(name);
      if (!pattern && !is_standard_format(name)) {
        document.ignore(fmt::format("format: {}", name));
        continue;
      }
      if (!pattern) {
        return document.problem(*node, ErrorCode::unsupported,
                                "\"format\": \"{}\" is not supported; {} are", name,
                                supported_formats());
      }
      LOTSE_TRY(restrict_form(*node, "format", form_of_format(name, budget)));
    }
  }
  return rules;
}

namespace {

// Whether objects of both cannot be the same: a property that both require, with values apart, or
// that one requires and the other forbids.
Result<bool> objects_disjoint(SchemaDocument& document, const SchemaView& a, const SchemaView& b,
                              int depth) {
  const auto property = [&](const SchemaView& v, const std::string& name) {
    std::vector<SchemaPart> parts;
    for (const Json* node : v.nodes) {
      const Json* properties = document.member(*node, "properties");
      const Json* schema = properties == nullptr ? nullptr : document.member(*properties, name);
      if (schema == nullptr && document.member(*node, "patternProperties") == nullptr) {
        schema = document.member(*node, "additionalProperties");
      }
      if (schema != nullptr) parts.push_back({schema});
    }
    return conjunction(std::move(parts));
  };
  std::set<std::string> names;
  std::set<std::string> required[2];
  for (const SchemaView* v : {&a, &b}) {
    for (const Json* node : v->nodes) {
      if (const Json* list = document.member(*node, "required")) {
        for (const Json& name : *list) required[v == &b].insert(name.get<std::string>());
      }
    }
  }
  for (const auto& one : required) names.insert(one.begin(), one.end());
  for (const std::string& name : names) {
    const Conjunction in_a = property(a, name);
    const Conjunction in_b = property(b, name);
    if (LOTSE_TRY(view(document, in_a)).impossible || LOTSE_TRY(view(document, in_b)).impossible) {
      return true;
    }
    const bool both = required[0].contains(name) && required[1].contains(name);
    if (both && LOTSE_TRY(disjoint(document, in_a, in_b, depth - 1))) return true;
  }
  return false;
}

Result<bool> numbers_disjoint(SchemaDocument& document, const SchemaView& a, const SchemaView& b) {
  const NumberRules x = LOTSE_TRY(number_rules(document, a));
  const NumberRules y = LOTSE_TRY(number_rules(document, b));
  NumberBounds both = x.bounds;
  if (y.bounds.low) {
    tighten(both.low, both.low_exclusive, *y.bounds.low, y.bounds.low_exclusive, false);
  }
  if (y.bounds.high) {
    tighten(both.high, both.high_exclusive, *y.bounds.high, y.bounds.high_exclusive, true);
  }
  if (!both.low || !both.high) return false;
  DfaBudget budget;
  const Dfa dfa = LOTSE_TRY(numbers_within(both, budget));
  // Trimmed: without an edge there is no number.
  return dfa.edges[0].empty();
}

}  // namespace

Result<bool> disjoint(SchemaDocument& document, const Conjunction& a, const Conjunction& b,
                      int depth) {
  if (depth <= 0) return false;
  const SchemaView x = LOTSE_TRY(view(document, a));
  const SchemaView y = LOTSE_TRY(view(document, b));
  if (x.impossible || y.impossible || (x.types & y.types) == 0) {
    // 1 and 1.0 are one number: nothing is both an integer and a fraction.
    return true;
  }
  for (const auto& [one, other] : {std::pair(&x, &b), std::pair(&y, &a)}) {
    for (const Json* group : one->groups) {
      const std::vector<Conjunction> branches = document.alternatives(*group);
      bool all = branches.size() <= 32;
      for (size_t i = 0; i < branches.size() && all; ++i) {
        all = LOTSE_TRY(disjoint(document, branches[i], *other, depth - 1));
      }
      if (all) return true;
    }
  }
  if (x.values && y.values) {
    auto common = x.values;
    restrict_to(common, *y.values);
    // Values that are equal but written in different ways, as 1 and 1.0, are not told apart.
    const bool simple = ((x.types | y.types) & (kFraction | kArray | kObject | kInteger)) == 0;
    const auto no_floats = [](const Json* v) {
      return !v->is_number_float() && !v->is_structured();
    };
    const bool exact = simple || (std::all_of(x.values->begin(), x.values->end(), no_floats) &&
                                  std::all_of(y.values->begin(), y.values->end(), no_floats));
    return common->empty() && exact;
  }
  const int common = x.types & y.types;
  if ((common & (kNull | kBoolean | kString | kArray)) != 0) return false;
  if ((common & (kInteger | kFraction)) != 0 && !LOTSE_TRY(numbers_disjoint(document, x, y))) {
    return false;
  }
  return (common & kObject) == 0 || LOTSE_TRY(objects_disjoint(document, x, y, depth));
}

}  // namespace lotse
