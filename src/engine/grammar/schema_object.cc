// Objects: the properties that are listed, those of patterns, and all others.
#include <algorithm>
#include <map>
#include <set>

#include "engine/grammar/regex_syntax.h"
#include "engine/grammar/schema_writer.h"

namespace lotse {
namespace {

using Json = SchemaJson;

constexpr size_t kMaxPatterns = 4;
constexpr int64_t kMaxPropertyStates = 100'000;

class ObjectWriter {
 public:
  explicit ObjectWriter(SchemaWriter& writer) : writer_(writer) {}

  Result<void> write_object(const SchemaView& v, int32_t from, int32_t to) {
    int64_t min = 0;
    int64_t max = -1;
    for (const Json* node : v.nodes) {
      if (const Json* count = writer_.document.member(*node, "minProperties")) {
        min = std::max(min, count_of(*count, kMaxLengthWritten));
      }
      if (const Json* count = writer_.document.member(*node, "maxProperties")) {
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
      return writer_.document.problem(*v.nodes[0], extras.error().code,
                                      "names of further properties: {}", extras.error().message);
    }
    if (min > 1 && !extras->empty() && min > required_count(properties)) {
      // Names that the model chooses may repeat, and then count once.
      return writer_.document.problem(
          *v.nodes[0], ErrorCode::unsupported,
          "\"minProperties\" above 1 is not supported beside properties "
          "that are not listed; set \"additionalProperties\": false");
    }
    if (min <= required_count(properties)) min = 0;
    return write_members(v, properties, *extras, min, max, from, to);
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

  // The schemas of a property, by each node's properties, patternProperties or
  // additionalProperties. `matches` tells whether a pattern fits the name; `declared` whether it is
  // one of the properties.
  template <class Matches>
  Conjunction property_schemas(const SchemaView& v, const std::string* declared,
                               const Matches& matches) {
    std::vector<SchemaPart> parts;
    for (const Json* node : v.nodes) {
      bool found = false;
      const Json* properties = writer_.document.member(*node, "properties");
      const Json* own = properties == nullptr || declared == nullptr
                            ? nullptr
                            : writer_.document.member(*properties, *declared);
      if (own != nullptr) {
        parts.push_back({own});
        found = true;
      }
      if (const Json* patterns = writer_.document.member(*node, "patternProperties")) {
        for (auto it = patterns->begin(); it != patterns->end(); ++it) {
          if (!matches(it.key())) continue;
          parts.push_back({&*it});
          found = true;
        }
      }
      if (found) continue;
      const Json* others = writer_.document.member(*node, "additionalProperties");
      if (others == nullptr) others = writer_.document.member(*node, "unevaluatedProperties");
      if (others != nullptr) parts.push_back({others});
    }
    return conjunction(std::move(parts));
  }

  Result<std::map<std::string, Dfa>> name_patterns(const SchemaView& v) {
    std::map<std::string, Dfa> result;
    for (const Json* node : v.nodes) {
      const Json* patterns = writer_.document.member(*node, "patternProperties");
      if (patterns == nullptr) continue;
      for (auto it = patterns->begin(); it != patterns->end(); ++it) {
        if (result.contains(it.key())) continue;
        const auto dfa = [&]() -> Result<Dfa> {
          return to_dfa(LOTSE_TRY(parse_regex(it.key(), RegexDialect::ecma)), RegexMatch::anywhere,
                        writer_.budget);
        }();
        if (!dfa) {
          return writer_.document.problem(*node, dfa.error().code,
                                          "\"patternProperties\", \"{}\": {}", it.key(),
                                          dfa.error().message);
        }
        result.emplace(it.key(), *dfa);
      }
      if (result.size() > kMaxPatterns) {
        return writer_.document.problem(*node, ErrorCode::limit,
                                        "\"patternProperties\" with more than {} patterns",
                                        kMaxPatterns);
      }
    }
    return result;
  }

  // The names that propertyNames allows; nothing: all.
  Result<std::optional<Dfa>> allowed_names(const SchemaView& v) {
    std::optional<Dfa> result;
    for (const Json* node : v.nodes) {
      const Json* schema = writer_.document.member(*node, "propertyNames");
      if (schema == nullptr) continue;
      const SchemaView names = LOTSE_TRY(view(writer_.document, conjunction({{schema}})));
      if (!names.groups.empty()) {
        return writer_.document.problem(*node, ErrorCode::unsupported,
                                        "\"propertyNames\" with anyOf or oneOf is not supported");
      }
      StringRules rules = LOTSE_TRY(string_rules(writer_.document, names, writer_.budget));
      auto dfa = [&]() -> Result<Dfa> {
        if (names.impossible || (names.types & kString) == 0) {
          return to_dfa(Expression::of(Expression::Kind::alternation), RegexMatch::whole,
                        writer_.budget);
        }
        const Dfa length =
            LOTSE_TRY(of_length(rules.min, std::min(rules.max, kMaxLengthWritten), writer_.budget));
        Dfa form =
            rules.form ? LOTSE_TRY(intersection(*rules.form, length, writer_.budget)) : length;
        if (!names.values) return form;
        std::vector<std::string> values;
        for (const Json* value : *names.values) values.push_back(value->get<std::string>());
        return intersection(form, LOTSE_TRY(dfa_of_texts(values, writer_.budget)), writer_.budget);
      }();
      if (dfa && result) dfa = intersection(*result, *dfa, writer_.budget);
      if (!dfa) {
        return writer_.document.problem(*node, dfa.error().code, "\"propertyNames\": {}",
                                        dfa.error().message);
      }
      result = *std::move(dfa);
    }
    return result;
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
      const Json* own = writer_.document.member(*node, "properties");
      if (own == nullptr) continue;
      for (auto it = own->begin(); it != own->end(); ++it) {
        if (seen.insert(it.key()).second) names.push_back(it.key());
      }
    }
    for (const Json* node : v.nodes) {
      const Json* list = writer_.document.member(*node, "required");
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
      result.push_back({name, writer_.rule_of(schemas), needed});
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
      if (LOTSE_TRY(view(writer_.document, schemas)).impossible) continue;
      auto name = name_form(patterns, subset, allowed, names);
      if (!name) return Result<std::vector<ExtraProperty>>(std::unexpected(name.error()));
      result.push_back({*std::move(name), writer_.rule_of(schemas)});
    }
    return Result<std::vector<ExtraProperty>>(std::move(result));
  }

  Result<std::optional<Dfa>> name_form(const std::map<std::string, Dfa>& patterns, unsigned subset,
                                       const std::optional<Dfa>& allowed,
                                       const std::vector<std::string>& names) {
    std::optional<Dfa> form = allowed;
    const auto restrict_to = [&](const Dfa& other) -> Result<void> {
      form = form ? LOTSE_TRY(intersection(*form, other, writer_.budget)) : other;
      return {};
    };
    for (const auto& [pattern, dfa] : patterns) {
      const bool matches = (subset & 1) != 0;
      subset >>= 1;
      LOTSE_TRY(restrict_to(matches ? dfa : complement(dfa)));
    }
    if (!names.empty())
      LOTSE_TRY(restrict_to(complement(LOTSE_TRY(dfa_of_texts(names, writer_.budget)))));
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
      return writer_.document.problem(
          *v.nodes[0], ErrorCode::limit,
          "\"minProperties\" or \"maxProperties\" with too many properties");
    }
    const int32_t closing = writer_.builder.add_state();
    writer_.builder.add_text(closing, "}", to);
    const int32_t open = writer_.builder.add_state();
    writer_.builder.add_text(from, "{", open);
    int64_t last_required = -1;
    for (int64_t i = 0; i < count; ++i) {
      if (properties[static_cast<size_t>(i)].required) last_required = i;
    }
    if (last_required < 0 && min == 0) writer_.builder.add_text(open, "}", to);

    // States of the row "number of members"; the last row stands for all higher numbers unless
    // there is a maximum.
    std::vector<std::vector<int32_t>> must(static_cast<size_t>(counted) + 1);
    std::vector<std::vector<int32_t>> may(static_cast<size_t>(counted) + 1);
    for (int64_t row = 0; row <= counted; ++row) {
      for (int64_t i = 0; i <= count; ++i) {
        must[static_cast<size_t>(row)].push_back(writer_.builder.add_state());
        may[static_cast<size_t>(row)].push_back(writer_.builder.add_state());
      }
    }
    if (writer_.builder.full()) return {};
    writer_.json.add_space(open, must[0][0]);
    for (int64_t row = 0; row <= counted && !writer_.builder.full(); ++row) {
      const bool full = max >= 0 && row == max;
      const auto r = static_cast<size_t>(row);
      const auto next_row = static_cast<size_t>(std::min(row + 1, counted));
      for (int64_t i = count; i >= 0 && !writer_.builder.full(); --i) {
        const auto at = static_cast<size_t>(i);
        const bool needed = i < count && properties[at].required;
        // Not before the first member: that has no comma.
        if (row > 0 || counted == 0) {
          const int32_t comma = writer_.builder.add_state();
          if (!full) writer_.builder.add_text(may[r][at], ",", comma);
          writer_.json.add_space(comma, must[r][at]);
        }
        if (i == count) {
          if (row >= min) writer_.json.add_space(may[r][at], closing);
          if (full) continue;
          for (const ExtraProperty& extra : extras) {
            write_extra(extra, must[r][at], may[next_row][at]);
          }
          continue;
        }
        if (!full) write_member(properties[at], must[r][at], may[next_row][at + 1]);
        if (!needed) {
          writer_.builder.add_jump(must[r][at], must[r][at + 1]);
          if (row >= min && i > last_required) writer_.json.add_space(may[r][at], closing);
        }
      }
    }
    return {};
  }

  void write_member(const Property& property, int32_t from, int32_t to) {
    const int32_t named = writer_.builder.add_state();
    const int32_t before = writer_.builder.add_state();
    writer_.builder.add_text(from, Json(property.name).dump(), named);
    writer_.json.add_colon(named, before);
    writer_.builder.add_call(before, property.value, to);
  }

  void write_extra(const ExtraProperty& extra, int32_t from, int32_t to) {
    const int32_t named = writer_.builder.add_state();
    const int32_t before = writer_.builder.add_state();
    if (extra.name) {
      const int32_t open = writer_.builder.add_state();
      const int32_t close = writer_.builder.add_state();
      writer_.builder.add_text(from, "\"", open);
      add_dfa(writer_.builder, open, *extra.name, close, TextForm::json_string);
      writer_.builder.add_text(close, "\"", named);
    } else {
      writer_.builder.add_call(from, writer_.json.string(), named);
    }
    writer_.json.add_colon(named, before);
    writer_.builder.add_call(before, extra.value, to);
  }

  SchemaWriter& writer_;
};

}  // namespace

Result<void> write_object(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to) {
  return ObjectWriter(writer).write_object(v, from, to);
}

}  // namespace lotse
