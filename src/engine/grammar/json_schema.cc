// JSON schemas to networks: one rule for each set of schemas that must hold together.
#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "chat_template/chat_template.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/schema_writer.h"

namespace lotse {
namespace {

using Json = SchemaJson;
using Kind = SchemaPart::Kind;

constexpr size_t kMaxOneOf = 300;
constexpr size_t kMaxOverlaps = 16;
constexpr int kDisjointDepth = 4;

class SchemaCompiler final : public SchemaWriter {
 public:
  using SchemaWriter::SchemaWriter;

  std::vector<std::string> ignored() const { return document.ignored(); }

  Result<Network> compile() {
    rule_of(conjunction({{&document.root()}}));
    while (!queue_.empty()) {
      const auto [parts, rule] = queue_.front();
      queue_.pop_front();
      LOTSE_TRY(write(*parts, rule));
      if (rules_.size() > kMaxRules) {
        return document.problem(document.root(), ErrorCode::limit,
                                "more than {} combinations of schemas", kMaxRules);
      }
      if (builder.full()) break;
    }
    return builder.finish();
  }

  int32_t rule_of(const Conjunction& parts) override {
    const auto [place, is_new] = rules_.try_emplace(parts, 0);
    if (is_new) {
      // Finding a place takes time, and is for messages only.
      const bool named = !parts.empty() && rules_.size() < kNamedRules;
      place->second =
          builder.add_rule(named ? "the schema at " + document.place(*parts[0].json) : "a schema");
      queue_.emplace_back(&place->first, place->second);
    }
    return place->second;
  }

 private:
  Result<void> write(const Conjunction& parts, int32_t rule) {
    const int32_t start = builder.start(rule);
    const int32_t end = builder.end(rule);
    if (parts.empty()) {
      builder.add_call(start, json.value(), end);
      return {};
    }
    parts_ += std::ssize(parts);
    if (parts_ > kMaxParts) {
      return document.problem(document.root(), ErrorCode::limit,
                              "too many combinations of alternatives");
    }
    const SchemaView v = LOTSE_TRY(view(document, parts));
    if (v.impossible) return {};
    if (!v.groups.empty()) return write_alternatives(v, start, end);
    if (v.values) return write_values(*this, v, start, end);
    if ((v.types & kNull) != 0) builder.add_text(start, "null", end);
    if ((v.types & kBoolean) != 0) {
      for (const bool value : {true, false}) {
        const bool excluded =
            std::ranges::any_of(v.excluded, [&](const Json* e) { return *e == value; });
        if (!excluded) builder.add_text(start, value ? "true" : "false", end);
      }
    }
    if ((v.types & (kInteger | kFraction)) != 0) LOTSE_TRY(write_number(*this, v, start, end));
    if ((v.types & kString) != 0) LOTSE_TRY(write_string(*this, v, start, end));
    if ((v.types & kArray) != 0) LOTSE_TRY(write_array(v, start, end));
    if ((v.types & kObject) != 0) LOTSE_TRY(write_object(*this, v, start, end));
    return {};
  }

  Result<void> write_alternatives(const SchemaView& v, int32_t from, int32_t to) {
    const Json& group = *v.groups[0];
    const Conjunction rest = v.rest(&group);
    std::vector<Conjunction> branches;
    for (const Conjunction& branch : document.alternatives(group)) {
      Conjunction parts = rest;
      parts.insert(parts.end(), branch.begin(), branch.end());
      branches.push_back(conjunction(std::move(parts)));
    }
    if (is_one_of(group)) LOTSE_TRY(separate(group, branches));
    for (const Conjunction& branch : branches) {
      const bool impossible = LOTSE_TRY(view(document, branch)).impossible;
      if (!impossible) builder.add_call(from, rule_of(branch), to);
    }
    return {};
  }

  // A value that two schemas of a oneOf allow is invalid: so each of the two gets that the other
  // does not hold, unless they can be shown to exclude each other.
  Result<void> separate(const Json& group, std::vector<Conjunction>& branches) {
    if (branches.size() > kMaxOneOf) {
      return document.problem(group, ErrorCode::limit, "\"oneOf\" with more than {} schemas",
                              kMaxOneOf);
    }
    const std::vector<Conjunction> before = branches;
    for (size_t i = 0; i < branches.size(); ++i) {
      size_t overlaps = 0;
      for (size_t j = 0; j < branches.size(); ++j) {
        if (i == j || LOTSE_TRY(are_disjoint(group, before, i, j))) continue;
        if (++overlaps > kMaxOverlaps) {
          return document.problem(group, ErrorCode::limit,
                                  "\"oneOf\" with more than {} schemas that overlap", kMaxOverlaps);
        }
        branches[i].push_back({&group[j], Kind::negated});
      }
    }
    return {};
  }

  Result<bool> are_disjoint(const Json& group, const std::vector<Conjunction>& branches, size_t i,
                            size_t j) {
    const auto [known, is_new] =
        disjoint_.try_emplace({branches[std::min(i, j)], branches[std::max(i, j)]});
    if (!is_new) return known->second;
    if (++comparisons_ > kMaxComparisons) {
      return document.problem(group, ErrorCode::limit, "\"oneOf\": too many schemas");
    }
    known->second = LOTSE_TRY(disjoint(document, branches[i], branches[j], kDisjointDepth));
    return known->second;
  }

  // Whether a list of schemas stands under oneOf.
  bool is_one_of(const Json& group) {
    if (one_of_.empty()) {
      one_of_.insert(nullptr);
      std::vector<const Json*> work = {&document.root()};
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

  // What holds for the item at an index; `prefix` gets the number of items with schemas of their
  // own.
  Conjunction item_schemas(const SchemaView& v, size_t at, size_t& prefix) {
    std::vector<SchemaPart> parts;
    for (const Json* node : v.nodes) {
      const Json* first = document.member(*node, "prefixItems");
      const Json* items = document.member(*node, "items");
      if (items != nullptr && items->is_array()) {
        first = items;
        items = document.member(*node, "additionalItems");
      }
      if (items == nullptr) items = document.member(*node, "unevaluatedItems");
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
      if (const Json* count = document.member(*node, "minItems")) {
        min = std::max(min, count_of(*count, kMaxLengthWritten + 1));
      }
      if (const Json* count = document.member(*node, "maxItems")) {
        const int64_t limit = count_of(*count, kMaxLengthWritten);
        max = max < 0 ? limit : std::min(max, limit);
      }
    }
    if (min > kMaxLengthWritten) {
      return document.problem(*v.nodes[0], ErrorCode::limit, "\"minItems\" above {}",
                              kMaxLengthWritten);
    }
    if (max >= 0 && max < min) return {};
    size_t prefix = 0;
    item_schemas(v, 0, prefix);
    const int64_t states = max >= 0 ? max : std::max(min, static_cast<int64_t>(prefix) + 1);
    const int32_t open = builder.add_state();
    builder.add_text(from, "[", open);
    if (min == 0) builder.add_text(open, "]", to);
    const int32_t closing = builder.add_state();
    builder.add_text(closing, "]", to);
    int32_t before = builder.add_state();  // where an item begins
    json.add_space(open, before);
    for (int64_t i = 0; i < states && !builder.full(); ++i) {
      const int32_t rule = rule_of(item_schemas(v, static_cast<size_t>(i), prefix));
      const int32_t after = builder.add_state();
      builder.add_call(before, rule, after);
      if (i + 1 >= min) json.add_space(after, closing);
      const bool last = i + 1 == states;
      if (last && max >= 0) break;
      const int32_t comma = builder.add_state();
      const int32_t next = last ? before : builder.add_state();
      builder.add_text(after, ",", comma);
      json.add_space(comma, next);
      before = next;
    }
    return {};
  }

  static constexpr size_t kNamedRules = 200;
  static constexpr size_t kMaxRules = 30'000;
  static constexpr int64_t kMaxParts = 300'000;
  static constexpr int64_t kMaxComparisons = 20'000;

  std::map<Conjunction, int32_t> rules_;
  std::deque<std::pair<const Conjunction*, int32_t>> queue_;
  std::set<const Json*> one_of_;
  std::map<std::pair<Conjunction, Conjunction>, bool> disjoint_;
  int64_t comparisons_ = 0;
  int64_t parts_ = 0;
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
