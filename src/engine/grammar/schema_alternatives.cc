#include "engine/grammar/schema_alternatives.h"

#include <algorithm>

namespace lotse {
namespace {

using Json = SchemaJson;
using Kind = SchemaPart::Kind;

// For what alternatives of one schema are; dependencies follow, by their number.
enum Purpose { kNegation, kConditional, kDependency };

// Collects the ways in which a schema can fail, keyword by keyword.
class Negator {
 public:
  Negator(SchemaDocument& document, const Json& schema) : document_(document), schema_(schema) {}

  Result<std::vector<Conjunction>> run() {
    if (schema_.is_boolean()) {
      if (schema_ == false) fails(Conjunction());
      return std::move(ways_);
    }
    if (document_.is_own(schema_)) {
      return document_.problem(schema_, ErrorCode::unsupported, "\"not\" is nested too deeply");
    }
    for (auto it = schema_.begin(); it != schema_.end(); ++it) LOTSE_TRY(negate(it.key(), *it));
    return std::move(ways_);
  }

 private:
  void fails(Conjunction how) { ways_.push_back(std::move(how)); }
  void fails_by(Json own) { fails({{document_.keep(std::move(own), schema_)}}); }

  Result<void> negate(const std::string& name, const Json& value) {
    if (name == "$ref") {
      fails({{LOTSE_TRY(document_.resolve(schema_, value.get_ref<const std::string&>())),
              Kind::negated}});
    } else if (name == "allOf") {
      for (const Json& branch : value) fails({{&branch, Kind::negated}});
    } else if (name == "anyOf" || name == "oneOf") {
      negate_choice(value, name == "oneOf");
    } else if (name == "not") {
      fails({{&value}});
    } else if (name == "if") {
      if (const Json* then = document_.member(schema_, "then")) {
        fails({{&value}, {then, Kind::negated}});
      }
      if (const Json* otherwise = document_.member(schema_, "else")) {
        fails({{&value, Kind::negated}, {otherwise, Kind::negated}});
      }
    } else if (name == "dependentRequired" || name == "dependentSchemas" ||
               name == "dependencies") {
      negate_dependencies(value);
    } else if (name == "type") {
      negate_type(value);
    } else if (name == "enum" || name == "const") {
      return negate_values(name, name == "const" ? Json::array({value}) : value);
    } else if (name == "required") {
      for (const Json& property : value) fails_by(without(property));
    } else if (name == "properties") {
      for (auto it = value.begin(); it != value.end(); ++it) {
        if (is_anything(*it)) continue;
        Json own = {{"type", "object"}, {"required", {it.key()}}};
        own["properties"][it.key()][own_keyword::kNegated] = document_.number_of(*it);
        fails_by(std::move(own));
      }
    } else if (name == "pattern") {
      fails_by({{"type", "string"}, {own_keyword::kNotPattern, value}});
    } else if (!negate_bound(name, value)) {
      return refuse(name);
    }
    return {};
  }

  static Json without(const Json& property) {
    Json own = {{"type", "object"}};
    own["properties"][property.get<std::string>()] = false;
    return own;
  }

  static bool is_anything(const Json& schema) { return schema == true || schema == Json::object(); }

  // Neither of them holds, or two of a oneOf do.
  void negate_choice(const Json& list, bool is_one_of) {
    Conjunction none;
    for (const Json& branch : list) none.push_back({&branch, Kind::negated});
    fails(std::move(none));
    if (!is_one_of) return;
    for (size_t i = 0; i < list.size(); ++i) {
      for (size_t j = i + 1; j < list.size(); ++j) fails({{&list[i]}, {&list[j]}});
    }
  }

  void negate_dependencies(const Json& value) {
    for (auto it = value.begin(); it != value.end(); ++it) {
      const Json present = {{"type", "object"}, {"required", {it.key()}}};
      const SchemaPart with = {document_.keep(present, schema_)};
      if (it->is_object() || it->is_boolean()) {
        fails({with, {&*it, Kind::negated}});
        continue;
      }
      const Json names = it->is_string() ? Json::array({*it}) : *it;
      for (const Json& name : names) fails({with, {document_.keep(without(name), schema_)}});
    }
  }

  void negate_type(const Json& value) {
    std::vector<Json> names =
        value.is_array() ? value.get<std::vector<Json>>() : std::vector{value};
    const Json* nullable = document_.member(schema_, "nullable");
    if (nullable != nullptr && *nullable == true) names.emplace_back("null");
    const auto has = [&](const char* name) {
      return std::ranges::find(names, name) != names.end();
    };
    Json others = Json::array();
    for (const char* name : {"null", "boolean", "string", "array", "object"}) {
      if (!has(name)) others.push_back(name);
    }
    if (!has("number")) {
      others.push_back(own_keyword::kFraction);
      if (!has("integer")) others.push_back("integer");
    }
    if (!others.empty()) fails_by({{"type", std::move(others)}});
  }

  Result<void> negate_values(const std::string& name, const Json& values) {
    for (const Json& value : values) {
      if (value.is_structured()) return refuse(name);
    }
    fails_by({{own_keyword::kExcluded, values}});
    return {};
  }

  // Bounds of numbers and counts; true also for what says nothing.
  bool negate_bound(const std::string& name, const Json& value) {
    const auto is_strict = [&](const char* keyword) {
      const Json* strict = document_.member(schema_, keyword);
      return strict != nullptr && *strict == true;
    };
    if (name == "minimum" || name == "maximum") {
      const bool low = name == "minimum";
      const bool strict = is_strict(low ? "exclusiveMinimum" : "exclusiveMaximum");
      const char* opposite = low ? (strict ? "maximum" : "exclusiveMaximum")
                                 : (strict ? "minimum" : "exclusiveMinimum");
      fails_by({{"type", "number"}, {opposite, value}});
    } else if (name == "exclusiveMinimum" || name == "exclusiveMaximum") {
      if (value.is_boolean()) return true;
      fails_by({{"type", "number"}, {name == "exclusiveMinimum" ? "maximum" : "minimum", value}});
    } else if (!negate_count(name, value)) {
      return says_nothing(name, value);
    }
    return true;
  }

  bool negate_count(const std::string& name, const Json& value) {
    static constexpr const char* kCounts[][3] = {{"string", "minLength", "maxLength"},
                                                 {"array", "minItems", "maxItems"},
                                                 {"object", "minProperties", "maxProperties"}};
    for (const auto& [type, least, most] : kCounts) {
      if (name != least && name != most) continue;
      constexpr double kMost = 1e9;
      const auto count = static_cast<int64_t>(std::min(value.get<double>(), kMost));
      if (name == least && count > 0) fails_by({{"type", type}, {most, count - 1}});
      if (name == most) fails_by({{"type", type}, {least, count + 1}});
      return true;
    }
    return false;
  }

  static bool says_nothing(const std::string& name, const Json& value) {
    static constexpr std::string_view kConstraints[] = {"additionalItems",
                                                        "additionalProperties",
                                                        "contains",
                                                        "contentEncoding",
                                                        "format",
                                                        "items",
                                                        "multipleOf",
                                                        "prefixItems",
                                                        "propertyNames",
                                                        "patternProperties",
                                                        "unevaluatedProperties",
                                                        "uniqueItems",
                                                        "unevaluatedItems"};
    if (std::ranges::find(kConstraints, name) == std::end(kConstraints)) return true;
    return is_anything(value) || (name == "uniqueItems" && value == false) ||
           value == Json::array();
  }

  Result<void> refuse(const std::string& name) {
    return document_.problem(schema_, ErrorCode::unsupported,
                             "\"{}\" cannot be negated, as \"not\", \"if\" and a \"oneOf\" whose "
                             "schemas overlap need",
                             name);
  }

  SchemaDocument& document_;
  const Json& schema_;
  std::vector<Conjunction> ways_;
};

// The alternatives for a purpose, made when they are first asked for.
template <class Make>
const Json* alternatives_for(SchemaDocument& document, const Json& schema, int purpose,
                             const Make& make) {
  if (const Json* known = document.known_alternatives(schema, purpose)) return known;
  return document.set_alternatives(schema, purpose, make());
}

// Without the property, or with it and what it brings along.
std::vector<Conjunction> dependency(SchemaDocument& document, const Json& schema,
                                    const std::string& name, const Json& value) {
  Json absent = Json::object();
  absent["properties"][name] = false;
  Json present = {{"required", {name}}};
  Conjunction with;
  if (value.is_string()) present["required"].push_back(value);
  if (value.is_array())
    present["required"].insert(present["required"].end(), value.begin(), value.end());
  with.push_back({document.keep(std::move(present), schema)});
  if (value.is_object() || value.is_boolean()) with.push_back({&value});
  return {{{document.keep(std::move(absent), schema)}}, std::move(with)};
}

}  // namespace

Result<std::vector<const Json*>> conditions(SchemaDocument& document, const Json& schema) {
  std::vector<const Json*> groups;
  const Json* condition = document.member(schema, "if");
  const Json* then = document.member(schema, "then");
  const Json* otherwise = document.member(schema, "else");
  if (condition != nullptr && (then != nullptr || otherwise != nullptr)) {
    groups.push_back(alternatives_for(document, schema, kConditional, [&] {
      Conjunction holds = {{condition}};
      Conjunction fails = {{condition, Kind::negated}};
      if (then != nullptr) holds.push_back({then});
      if (otherwise != nullptr) fails.push_back({otherwise});
      return std::vector<Conjunction>{std::move(holds), std::move(fails)};
    }));
  }
  int purpose = kDependency;
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const Json* map = document.member(schema, keyword);
    if (map == nullptr) continue;
    for (auto it = map->begin(); it != map->end(); ++it) {
      groups.push_back(alternatives_for(document, schema, purpose++, [&] {
        return dependency(document, schema, it.key(), *it);
      }));
    }
  }
  return groups;
}

Result<const Json*> negation(SchemaDocument& document, const Json& schema) {
  LOTSE_TRY(document.check(schema));
  if (const Json* known = document.known_alternatives(schema, kNegation)) return known;
  auto ways = LOTSE_TRY(Negator(document, schema).run());
  return document.set_alternatives(schema, kNegation, std::move(ways));
}

}  // namespace lotse
