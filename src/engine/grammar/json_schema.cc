// JSON schemas to networks: one rule for each set of schemas that must hold together.
#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "base/utf8.h"
#include "chat_template/chat_template.h"
#include "engine/grammar/byte_trie.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/json_rules.h"
#include "engine/grammar/regex_syntax.h"
#include "engine/grammar/schema_view.h"

namespace lotse {
namespace {

using Json = SchemaJson;
using Kind = SchemaPart::Kind;

constexpr int64_t kMaxLengthWritten = 20'000;  // a higher maxLength or maxItems means this one
constexpr size_t kMaxPatterns = 4;
constexpr size_t kMaxOneOf = 300;
constexpr int kDisjointDepth = 4;
constexpr int64_t kMaxPropertyStates = 100'000;

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& root) : document_(root), json_(builder_) {}

  std::vector<std::string> ignored() const { return document_.ignored(); }

  Result<Network> compile() {
    rule_of(conjunction({{&document_.root()}}));
    while (!queue_.empty()) {
      const auto [parts, rule] = queue_.front();
      queue_.pop_front();
      LOTSE_TRY(write(*parts, rule));
      if (rules_.size() > kMaxRules) {
        return document_.problem(document_.root(), ErrorCode::limit,
                                 "more than {} combinations of schemas", kMaxRules);
      }
      if (builder_.full()) break;
    }
    return builder_.finish();
  }

 private:
  // A member that an object may have.
  struct Property {
    std::string name;
    int32_t value;
    bool required;
  };
  // The members beyond those: names of a form, or any name.
  struct ExtraProperty {
    std::optional<Dfa> name;
    int32_t value;
  };

  int32_t rule_of(const Conjunction& parts) {
    const auto [place, is_new] = rules_.try_emplace(parts, 0);
    if (is_new) {
      // Finding a place takes time, and is for messages only.
      const bool named = !parts.empty() && rules_.size() < kNamedRules;
      place->second = builder_.add_rule(named ? "the schema at " + document_.place(*parts[0].json)
                                              : "a schema");
      queue_.emplace_back(&place->first, place->second);
    }
    return place->second;
  }

  Result<void> write(const Conjunction& parts, int32_t rule) {
    const int32_t start = builder_.start(rule);
    const int32_t end = builder_.end(rule);
    if (parts.empty()) {
      builder_.add_call(start, json_.value(), end);
      return {};
    }
    const SchemaView v = LOTSE_TRY(view(document_, parts));
    if (v.impossible) return {};
    if (!v.groups.empty()) return write_alternatives(v, start, end);
    if (v.values) return write_values(v, start, end);
    if ((v.types & kNull) != 0) builder_.add_text(start, "null", end);
    if ((v.types & kBoolean) != 0) {
      builder_.add_text(start, "true", end);
      builder_.add_text(start, "false", end);
    }
    if ((v.types & (kInteger | kFraction)) != 0) LOTSE_TRY(write_number(v, start, end));
    if ((v.types & kString) != 0) LOTSE_TRY(write_string(v, start, end));
    if ((v.types & kArray) != 0) LOTSE_TRY(write_array(v, start, end));
    if ((v.types & kObject) != 0) LOTSE_TRY(write_object(v, start, end));
    return {};
  }

  Result<void> write_alternatives(const SchemaView& v, int32_t from, int32_t to) {
    const Json& group = *v.groups[0];
    const Conjunction rest = v.rest(&group);
    std::vector<Conjunction> branches;
    for (const Json& branch : group) {
      Conjunction parts = rest;
      parts.push_back({&branch});
      branches.push_back(conjunction(std::move(parts)));
    }
    LOTSE_TRY(refuse_overlap(group, branches));
    for (const Conjunction& branch : branches) builder_.add_call(from, rule_of(branch), to);
    return {};
  }

  // The branches of a oneOf must exclude each other, or a value of two of them would be invalid.
  Result<void> refuse_overlap(const Json& group, const std::vector<Conjunction>& branches) {
    if (!is_one_of(group)) return {};
    if (branches.size() > kMaxOneOf) {
      return document_.problem(group, ErrorCode::limit, "\"oneOf\" with more than {} schemas",
                               kMaxOneOf);
    }
    for (size_t i = 0; i < branches.size(); ++i) {
      for (size_t j = i + 1; j < branches.size(); ++j) {
        if (++comparisons_ > kMaxComparisons) {
          return document_.problem(group, ErrorCode::limit, "\"oneOf\": too many schemas");
        }
        if (LOTSE_TRY(disjoint(document_, branches[i], branches[j], kDisjointDepth))) continue;
        return document_.problem(
            group, ErrorCode::unsupported,
            "\"oneOf\": schemas {} and {} cannot be shown to exclude each other; use anyOf, or let "
            "a required property have different constants in them",
            i, j);
      }
    }
    return {};
  }

  // Whether a list of schemas stands under oneOf.
  bool is_one_of(const Json& group) {
    if (one_of_.empty()) {
      one_of_.insert(nullptr);
      std::vector<const Json*> work = {&document_.root()};
      while (!work.empty()) {
        const Json& node = *work.back();
        work.pop_back();
        if (!node.is_structured()) continue;
        for (auto it = node.begin(); it != node.end(); ++it) {
          if (node.is_object() && it.key() == "oneOf") one_of_.insert(&*it);
          work.push_back(&*it);
        }
      }
    }
    return one_of_.contains(&group);
  }

  // The values of enum and const that satisfy the other keywords, too.
  Result<void> write_values(const SchemaView& v, int32_t from, int32_t to) {
    const NumberRules numbers = LOTSE_TRY(number_rules(document_, v));
    const StringRules strings = LOTSE_TRY(string_rules(document_, v, budget_));
    std::optional<Dfa> within;
    if (numbers.any) within = LOTSE_TRY(numbers_within(numbers.bounds, budget_));
    std::vector<std::string> texts;
    for (const Json* value : *v.values) {
      if (value->is_structured()) {
        LOTSE_TRY(refuse_structure(v, *value));
        json_.add_literal(from, *value, to);
        continue;
      }
      if (value->is_string() && !string_fits(value->get_ref<const std::string&>(), strings)) {
        continue;
      }
      if (value->is_number() && within && !LOTSE_TRY(number_fits(*value, numbers, *within, v))) {
        continue;
      }
      texts.push_back(value->dump());
    }
    add_texts(builder_, from, std::move(texts), to);
    return {};
  }

  Result<void> refuse_structure(const SchemaView& v, const Json& value) {
    static constexpr std::string_view kObjectKeywords[] = {
        "properties",    "required",      "additionalProperties", "patternProperties",
        "propertyNames", "minProperties", "maxProperties",        "unevaluatedProperties"};
    static constexpr std::string_view kArrayKeywords[] = {
        "items", "prefixItems", "minItems", "maxItems", "additionalItems", "unevaluatedItems"};
    const std::span<const std::string_view> keywords =
        value.is_object() ? std::span<const std::string_view>(kObjectKeywords)
                          : std::span<const std::string_view>(kArrayKeywords);
    for (const Json* node : v.nodes) {
      for (const std::string_view keyword : keywords) {
        if (document_.member(*node, std::string(keyword)) == nullptr) continue;
        return document_.problem(
            *node, ErrorCode::unsupported,
            "\"{}\" is not supported together with objects or lists in enum or "
            "const",
            keyword);
      }
    }
    return {};
  }

  static bool string_fits(const std::string& text, const StringRules& rules) {
    int64_t length = 0;
    for (const char c : text) length += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    const bool short_enough = rules.max < 0 || length <= rules.max;
    return length >= rules.min && short_enough && (!rules.form || rules.form->accepts(text));
  }

  Result<bool> number_fits(const Json& value, const NumberRules& rules, const Dfa& within,
                           const SchemaView& v) {
    const auto decimal = Decimal::parse(value.dump());
    if (!decimal) {
      return document_.problem(*v.nodes[0], ErrorCode::unsupported,
                               "the value {} is not supported beside bounds", value.dump());
    }
    std::string text = (decimal->negative ? "-" : "") + std::to_string(decimal->whole);
    if (!decimal->is_whole()) text += "." + decimal->fraction;
    if (decimal->is_whole()) {
      for (const int64_t divisor : rules.divisors) {
        if (decimal->whole % divisor != 0) return false;
      }
    } else if (!rules.divisors.empty()) {
      return false;
    }
    if (rules.fraction_digits &&
        static_cast<int64_t>(decimal->fraction.size()) > *rules.fraction_digits) {
      return false;
    }
    return within.accepts(text);
  }

  Result<void> write_number(const SchemaView& v, int32_t from, int32_t to) {
    const NumberRules rules = LOTSE_TRY(number_rules(document_, v));
    const bool whole = (v.types & kFraction) == 0 || !rules.divisors.empty();
    if (!whole && !rules.any) {
      builder_.add_call(from, json_.number(), to);
      return {};
    }
    const auto within = [&]() -> Result<Dfa> {
      Dfa dfa = LOTSE_TRY(whole ? integers_within(rules.bounds, budget_)
                                : numbers_within(rules.bounds, budget_));
      for (const int64_t divisor : rules.divisors) {
        dfa = LOTSE_TRY(intersection(dfa, multiples_of(divisor), budget_));
      }
      if (whole || !rules.fraction_digits) return dfa;
      const std::string form = fmt::format("[^.]+(\\.\\d{{1,{}}})?", *rules.fraction_digits);
      const Dfa digits =
          LOTSE_TRY(to_dfa(*parse_regex(form, RegexDialect::pcre), RegexMatch::whole, budget_));
      return intersection(dfa, digits, budget_);
    }();
    if (!within) {
      return document_.problem(*v.nodes[0], within.error().code, "bounds of a number: {}",
                               within.error().message);
    }
    add_dfa(builder_, from, *within, to, TextForm::plain);
    return {};
  }

  Result<void> write_string(const SchemaView& v, int32_t from, int32_t to) {
    StringRules rules = LOTSE_TRY(string_rules(document_, v, budget_));
    if (rules.max >= 0 && rules.max < rules.min) return {};
    if (rules.min > kMaxLengthWritten) {
      return document_.problem(*v.nodes[0], ErrorCode::limit, "\"minLength\" above {}",
                               kMaxLengthWritten);
    }
    if (rules.max > kMaxLengthWritten) rules.max = kMaxLengthWritten;
    const bool bounded = rules.min > 0 || rules.max >= 0;
    if (!rules.form && !bounded) {
      builder_.add_call(from, json_.string(), to);
      return {};
    }
    if (!rules.form) {
      json_.add_string(from, rules.min, rules.max, to);
      return {};
    }
    auto dfa = [&]() -> Result<Dfa> {
      if (!bounded) return std::move(*rules.form);
      return intersection(*rules.form, LOTSE_TRY(of_length(rules.min, rules.max, budget_)),
                          budget_);
    }();
    if (!dfa) {
      return document_.problem(*v.nodes[0], dfa.error().code,
                               "\"pattern\" or \"format\" with a length: {}", dfa.error().message);
    }
    const int32_t open = builder_.add_state();
    const int32_t close = builder_.add_state();
    builder_.add_text(from, "\"", open);
    add_dfa(builder_, open, *dfa, close, TextForm::json_string);
    builder_.add_text(close, "\"", to);
    return {};
  }

  // What holds for the item at an index; `prefix` gets the number of items with schemas of their
  // own.
  Conjunction item_schemas(const SchemaView& v, size_t at, size_t& prefix) {
    std::vector<SchemaPart> parts;
    for (const Json* node : v.nodes) {
      const Json* first = document_.member(*node, "prefixItems");
      const Json* items = document_.member(*node, "items");
      if (items != nullptr && items->is_array()) {
        first = items;
        items = document_.member(*node, "additionalItems");
      }
      if (items == nullptr) items = document_.member(*node, "unevaluatedItems");
      if (first != nullptr) prefix = std::max(prefix, first->size());
      if (first != nullptr && at < first->size()) {
        parts.push_back({&(*first)[at]});
      } else if (items != nullptr) {
        parts.push_back({items});
      }
    }
    return conjunction(std::move(parts));
  }

  Result<void> write_array(const SchemaView& v, int32_t from, int32_t to) {
    int64_t min = 0;
    int64_t max = -1;
    for (const Json* node : v.nodes) {
      if (const Json* count = document_.member(*node, "minItems")) {
        min = std::max(min, count_of(*count, kMaxLengthWritten + 1));
      }
      if (const Json* count = document_.member(*node, "maxItems")) {
        const int64_t limit = count_of(*count, kMaxLengthWritten);
        max = max < 0 ? limit : std::min(max, limit);
      }
    }
    if (min > kMaxLengthWritten) {
      return document_.problem(*v.nodes[0], ErrorCode::limit, "\"minItems\" above {}",
                               kMaxLengthWritten);
    }
    if (max >= 0 && max < min) return {};
    size_t prefix = 0;
    item_schemas(v, 0, prefix);
    const int64_t states = max >= 0 ? max : std::max(min, static_cast<int64_t>(prefix) + 1);
    const int32_t open = builder_.add_state();
    builder_.add_text(from, "[", open);
    if (min == 0) builder_.add_text(open, "]", to);
    const int32_t closing = builder_.add_state();
    builder_.add_text(closing, "]", to);
    int32_t before = builder_.add_state();  // where an item begins
    json_.add_space(open, before);
    for (int64_t i = 0; i < states && !builder_.full(); ++i) {
      const int32_t rule = rule_of(item_schemas(v, static_cast<size_t>(i), prefix));
      const int32_t after = builder_.add_state();
      builder_.add_call(before, rule, after);
      if (i + 1 >= min) json_.add_space(after, closing);
      const bool last = i + 1 == states;
      if (last && max >= 0) break;
      const int32_t comma = builder_.add_state();
      const int32_t next = last ? before : builder_.add_state();
      builder_.add_text(after, ",", comma);
      json_.add_space(comma, next);
      before = next;
    }
    return {};
  }

  // The schemas of a property, by each node's properties, patternProperties or
  // additionalProperties. `matches` tells whether a pattern fits the name; `declared` whether it is
  // one of the properties.
  template <class Matches>
  Conjunction property_schemas(const SchemaView& v, const std::string* declared,
                               const Matches& matches) {
    std::vector<SchemaPart> parts;
    for (const Json* node : v.nodes) {
      bool found = false;
      const Json* properties = document_.member(*node, "properties");
      const Json* own = properties == nullptr || declared == nullptr
                            ? nullptr
                            : document_.member(*properties, *declared);
      if (own != nullptr) {
        parts.push_back({own});
        found = true;
      }
      if (const Json* patterns = document_.member(*node, "patternProperties")) {
        for (auto it = patterns->begin(); it != patterns->end(); ++it) {
          if (!matches(it.key())) continue;
          parts.push_back({&*it});
          found = true;
        }
      }
      if (found) continue;
      const Json* others = document_.member(*node, "additionalProperties");
      if (others == nullptr) others = document_.member(*node, "unevaluatedProperties");
      if (others != nullptr) parts.push_back({others});
    }
    return conjunction(std::move(parts));
  }

  Result<std::map<std::string, Dfa>> name_patterns(const SchemaView& v) {
    std::map<std::string, Dfa> result;
    for (const Json* node : v.nodes) {
      const Json* patterns = document_.member(*node, "patternProperties");
      if (patterns == nullptr) continue;
      for (auto it = patterns->begin(); it != patterns->end(); ++it) {
        if (result.contains(it.key())) continue;
        const auto dfa = [&]() -> Result<Dfa> {
          return to_dfa(LOTSE_TRY(parse_regex(it.key(), RegexDialect::ecma)), RegexMatch::anywhere,
                        budget_);
        }();
        if (!dfa) {
          return document_.problem(*node, dfa.error().code, "\"patternProperties\", \"{}\": {}",
                                   it.key(), dfa.error().message);
        }
        result.emplace(it.key(), *dfa);
      }
      if (result.size() > kMaxPatterns) {
        return document_.problem(*node, ErrorCode::limit,
                                 "\"patternProperties\" with more than {} patterns", kMaxPatterns);
      }
    }
    return result;
  }

  // The names that propertyNames allows; nothing: all.
  Result<std::optional<Dfa>> allowed_names(const SchemaView& v) {
    std::optional<Dfa> result;
    for (const Json* node : v.nodes) {
      const Json* schema = document_.member(*node, "propertyNames");
      if (schema == nullptr) continue;
      const SchemaView names = LOTSE_TRY(view(document_, conjunction({{schema}})));
      if (!names.groups.empty()) {
        return document_.problem(*node, ErrorCode::unsupported,
                                 "\"propertyNames\" with anyOf or oneOf is not supported");
      }
      StringRules rules = LOTSE_TRY(string_rules(document_, names, budget_));
      auto dfa = [&]() -> Result<Dfa> {
        if (names.impossible || (names.types & kString) == 0) {
          return to_dfa(Expression::of(Expression::Kind::alternation), RegexMatch::whole, budget_);
        }
        const Dfa length =
            LOTSE_TRY(of_length(rules.min, std::min(rules.max, kMaxLengthWritten), budget_));
        Dfa form = rules.form ? LOTSE_TRY(intersection(*rules.form, length, budget_)) : length;
        if (!names.values) return form;
        std::vector<std::string> values;
        for (const Json* value : *names.values) values.push_back(value->get<std::string>());
        return intersection(form, LOTSE_TRY(any_of(values)), budget_);
      }();
      if (dfa && result) dfa = intersection(*result, *dfa, budget_);
      if (!dfa) {
        return document_.problem(*node, dfa.error().code, "\"propertyNames\": {}",
                                 dfa.error().message);
      }
      result = *std::move(dfa);
    }
    return result;
  }

  Result<Dfa> any_of(const std::vector<std::string>& texts) {
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
    return to_dfa(all, RegexMatch::whole, budget_);
  }

  Result<void> write_object(const SchemaView& v, int32_t from, int32_t to) {
    int64_t min = 0;
    int64_t max = -1;
    for (const Json* node : v.nodes) {
      if (const Json* count = document_.member(*node, "minProperties")) {
        min = std::max(min, count_of(*count, kMaxLengthWritten));
      }
      if (const Json* count = document_.member(*node, "maxProperties")) {
        const int64_t limit = count_of(*count, kMaxLengthWritten);
        max = max < 0 ? limit : std::min(max, limit);
      }
    }
    const auto patterns = LOTSE_TRY(name_patterns(v));
    const auto allowed = LOTSE_TRY(allowed_names(v));
    bool possible = true;
    std::vector<std::string> names;
    const auto properties = LOTSE_TRY(declared_properties(v, patterns, allowed, names, possible));
    if (!possible) return {};
    auto extras = LOTSE_TRY(extra_properties(v, patterns, allowed, names));
    if (!extras) {
      return document_.problem(*v.nodes[0], extras.error().code, "names of further properties: {}",
                               extras.error().message);
    }
    if (min > 1 && !extras->empty() && min > required_count(properties)) {
      // Names that the model chooses may repeat, and then count once.
      return document_.problem(*v.nodes[0], ErrorCode::unsupported,
                               "\"minProperties\" above 1 is not supported beside properties "
                               "that are not listed; set \"additionalProperties\": false");
    }
    if (min <= required_count(properties)) min = 0;
    return write_members(v, properties, *extras, min, max, from, to);
  }

  static int64_t required_count(const std::vector<Property>& properties) {
    return std::count_if(properties.begin(), properties.end(),
                         [](const Property& p) { return p.required; });
  }

  Result<std::vector<Property>> declared_properties(const SchemaView& v,
                                                    const std::map<std::string, Dfa>& patterns,
                                                    const std::optional<Dfa>& allowed,
                                                    std::vector<std::string>& names,
                                                    bool& possible) {
    std::set<std::string> seen;
    std::set<std::string> required;
    for (const Json* node : v.nodes) {
      const Json* own = document_.member(*node, "properties");
      if (own == nullptr) continue;
      for (auto it = own->begin(); it != own->end(); ++it) {
        if (seen.insert(it.key()).second) names.push_back(it.key());
      }
    }
    for (const Json* node : v.nodes) {
      const Json* list = document_.member(*node, "required");
      if (list == nullptr) continue;
      for (const Json& name : *list) {
        required.insert(name.get<std::string>());
        if (seen.insert(name.get<std::string>()).second) names.push_back(name.get<std::string>());
      }
    }
    std::vector<Property> result;
    for (const std::string& name : names) {
      const bool needed = required.contains(name);
      if (allowed && !allowed->accepts(name)) {
        possible = possible && !needed;
        continue;
      }
      const Conjunction schemas = property_schemas(
          v, &name, [&](const std::string& pattern) { return patterns.at(pattern).accepts(name); });
      result.push_back({name, rule_of(schemas), needed});
    }
    return result;
  }

  // A part for each combination of patterns that a name may match.
  Result<Result<std::vector<ExtraProperty>>> extra_properties(
      const SchemaView& v, const std::map<std::string, Dfa>& patterns,
      const std::optional<Dfa>& allowed, const std::vector<std::string>& names) {
    std::vector<ExtraProperty> result;
    for (unsigned subset = 0; subset < 1u << patterns.size(); ++subset) {
      const auto matches = [&](const std::string& pattern) {
        const auto number = std::distance(patterns.begin(), patterns.find(pattern));
        return (subset >> number & 1) != 0;
      };
      const Conjunction schemas = property_schemas(v, nullptr, matches);
      if (LOTSE_TRY(view(document_, schemas)).impossible) continue;
      auto name = name_form(patterns, subset, allowed, names);
      if (!name) return Result<std::vector<ExtraProperty>>(std::unexpected(name.error()));
      result.push_back({*std::move(name), rule_of(schemas)});
    }
    return Result<std::vector<ExtraProperty>>(std::move(result));
  }

  Result<std::optional<Dfa>> name_form(const std::map<std::string, Dfa>& patterns, unsigned subset,
                                       const std::optional<Dfa>& allowed,
                                       const std::vector<std::string>& names) {
    std::optional<Dfa> form = allowed;
    const auto restrict_to = [&](const Dfa& other) -> Result<void> {
      form = form ? LOTSE_TRY(intersection(*form, other, budget_)) : other;
      return {};
    };
    for (const auto& [pattern, dfa] : patterns) {
      const bool matches = (subset & 1) != 0;
      subset >>= 1;
      LOTSE_TRY(restrict_to(matches ? dfa : complement(dfa)));
    }
    if (!names.empty()) LOTSE_TRY(restrict_to(complement(LOTSE_TRY(any_of(names)))));
    return form;
  }

  // Members in order: those listed, then the others. Positions are "before property i", twice:
  // where a member must come (at the beginning and after a comma), and where one may.
  Result<void> write_members(const SchemaView& v, const std::vector<Property>& properties,
                             const std::vector<ExtraProperty>& extras, int64_t min, int64_t max,
                             int32_t from, int32_t to) {
    const int64_t counted = max >= 0 ? max : min;  // members are counted so far
    const auto count = static_cast<int64_t>(properties.size());
    if ((count + 1) * (counted + 1) > kMaxPropertyStates) {
      return document_.problem(*v.nodes[0], ErrorCode::limit,
                               "\"minProperties\" or \"maxProperties\" with too many properties");
    }
    const int32_t closing = builder_.add_state();
    builder_.add_text(closing, "}", to);
    const int32_t open = builder_.add_state();
    builder_.add_text(from, "{", open);
    int64_t last_required = -1;
    for (int64_t i = 0; i < count; ++i) {
      if (properties[static_cast<size_t>(i)].required) last_required = i;
    }
    if (last_required < 0 && min == 0) builder_.add_text(open, "}", to);

    // States of the row "number of members"; the last row stands for all higher numbers unless
    // there is a maximum.
    std::vector<std::vector<int32_t>> must(static_cast<size_t>(counted) + 1);
    std::vector<std::vector<int32_t>> may(static_cast<size_t>(counted) + 1);
    for (int64_t row = 0; row <= counted; ++row) {
      for (int64_t i = 0; i <= count; ++i) {
        must[static_cast<size_t>(row)].push_back(builder_.add_state());
        may[static_cast<size_t>(row)].push_back(builder_.add_state());
      }
    }
    if (builder_.full()) return {};
    json_.add_space(open, must[0][0]);
    for (int64_t row = 0; row <= counted && !builder_.full(); ++row) {
      const bool full = max >= 0 && row == max;
      const auto r = static_cast<size_t>(row);
      const auto next_row = static_cast<size_t>(std::min(row + 1, counted));
      for (int64_t i = count; i >= 0 && !builder_.full(); --i) {
        const auto at = static_cast<size_t>(i);
        const bool needed = i < count && properties[at].required;
        // Not before the first member: that has no comma.
        if (row > 0 || counted == 0) {
          const int32_t comma = builder_.add_state();
          if (!full) builder_.add_text(may[r][at], ",", comma);
          json_.add_space(comma, must[r][at]);
        }
        if (i == count) {
          if (row >= min) json_.add_space(may[r][at], closing);
          if (full) continue;
          for (const ExtraProperty& extra : extras) {
            write_extra(extra, must[r][at], may[next_row][at]);
          }
          continue;
        }
        if (!full) write_member(properties[at], must[r][at], may[next_row][at + 1]);
        if (!needed) {
          builder_.add_jump(must[r][at], must[r][at + 1]);
          if (row >= min && i > last_required) json_.add_space(may[r][at], closing);
        }
      }
    }
    return {};
  }

  void write_member(const Property& property, int32_t from, int32_t to) {
    const int32_t named = builder_.add_state();
    const int32_t before = builder_.add_state();
    builder_.add_text(from, Json(property.name).dump(), named);
    json_.add_colon(named, before);
    builder_.add_call(before, property.value, to);
  }

  void write_extra(const ExtraProperty& extra, int32_t from, int32_t to) {
    const int32_t named = builder_.add_state();
    const int32_t before = builder_.add_state();
    if (extra.name) {
      const int32_t open = builder_.add_state();
      const int32_t close = builder_.add_state();
      builder_.add_text(from, "\"", open);
      add_dfa(builder_, open, *extra.name, close, TextForm::json_string);
      builder_.add_text(close, "\"", named);
    } else {
      builder_.add_call(from, json_.string(), named);
    }
    json_.add_colon(named, before);
    builder_.add_call(before, extra.value, to);
  }

  static constexpr size_t kNamedRules = 200;
  static constexpr size_t kMaxRules = 30'000;
  static constexpr int64_t kMaxComparisons = 20'000;

  NetworkBuilder builder_;
  SchemaDocument document_;
  JsonRules json_;
  DfaBudget budget_;
  std::map<Conjunction, int32_t> rules_;
  std::deque<std::pair<const Conjunction*, int32_t>> queue_;
  std::set<const Json*> one_of_;
  int64_t comparisons_ = 0;
};

}  // namespace

Result<Grammar> Grammar::parsed_json_schema(const nlohmann::ordered_json& schema) {
  SchemaCompiler compiler(schema);
  auto network = compiler.compile();
  if (network) return Grammar(*std::move(network), compiler.ignored());
  const std::string& message = network.error().message;
  if (message.starts_with("JSON schema")) return std::unexpected(network.error());
  return fail(network.error().code, "JSON schema: {}", message);
}

Result<Grammar> Grammar::json_schema(std::string_view schema) {
  if (schema.size() > kMaxSourceBytes) {
    return fail(ErrorCode::limit, "JSON schema: {} bytes, at most {} are allowed", schema.size(),
                kMaxSourceBytes);
  }
  return parsed_json_schema(LOTSE_TRY(parse_ordered_json(schema, "JSON schema")));
}

Grammar Grammar::json_object() {
  NetworkBuilder builder;
  const int32_t rule = builder.add_rule("JSON");
  JsonRules json(builder);
  builder.add_call(builder.start(rule), json.object(), builder.end(rule));
  auto network = builder.finish();
  LOTSE_CHECK(network.has_value());
  return Grammar(*std::move(network));
}

}  // namespace lotse
