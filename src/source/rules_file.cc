// The TOML of the mapping from Nvidia to Ascend.
#include <fmt/format.h>

#include <algorithm>

#include "base/toml.h"
#include "source/rules.h"

namespace lotse {
namespace {

// The rule being read, for messages.
struct Origin {
  std::string file;
  int64_t line;
  std::string rule;
};

template <class... Args>
std::unexpected<Error> wrong(const Origin& origin, fmt::format_string<Args...> format,
                             Args&&... args) {
  return fail(ErrorCode::invalid_input, "{}:{}: rule \"{}\": {}", origin.file, origin.line,
              origin.rule, fmt::format(format, std::forward<Args>(args)...));
}

Result<std::string> string(const toml::node& node, const char* key, const Origin& origin) {
  const auto* value = node.as_string();
  if (!value || value->get().empty()) return wrong(origin, "{}: expected a string", key);
  return value->get();
}

Result<std::vector<std::string>> strings(const toml::node& node, const char* key,
                                         const Origin& origin) {
  const toml::array* array = node.as_array();
  if (!array || array->empty()) return wrong(origin, "{}: expected an array of strings", key);
  std::vector<std::string> list;
  for (const toml::node& element : *array) list.push_back(LOTSE_TRY(string(element, key, origin)));
  return list;
}

Result<bool> boolean(const toml::node& node, const char* key, const Origin& origin) {
  if (!node.is_boolean()) return wrong(origin, "{}: expected true or false", key);
  return node.as_boolean()->get();
}

Result<Hours> hours(const toml::node& node, const Origin& origin) {
  const toml::array* array = node.as_array();
  const auto low = array && array->size() == 2 ? (*array)[0].value<double>() : std::nullopt;
  const auto high = array && array->size() == 2 ? (*array)[1].value<double>() : std::nullopt;
  if (!low || !high || *low < 0 || *low > *high) {
    return wrong(origin, "hours: expected [low, high] with 0 <= low <= high");
  }
  return Hours{*low, *high};
}

// Reads the keys that a rule and its `native` share; false for another key.
Result<bool> verdict_key(std::string_view key, const toml::node& node, const Origin& origin,
                         Verdict& verdict) {
  if (key == "kind") {
    const std::string kind = LOTSE_TRY(string(node, "kind", origin));
    for (const WorkKind known : {WorkKind::rename, WorkKind::rewrite, WorkKind::impossible}) {
      if (kind != name(known)) continue;
      verdict.kind = known;
      return true;
    }
    return wrong(origin, "kind: unknown \"{}\"; known: rename, rewrite, impossible", kind);
  }
  if (key == "counterpart") {
    verdict.counterpart = LOTSE_TRY(string(node, "counterpart", origin));
  } else if (key == "note") {
    verdict.note = LOTSE_TRY(string(node, "note", origin));
  } else if (key == "hours") {
    verdict.hours = LOTSE_TRY(hours(node, origin));
  } else {
    return false;
  }
  return true;
}

Result<Per> per(const toml::node& node, const Origin& origin) {
  const std::string text = LOTSE_TRY(string(node, "per", origin));
  for (const Per known : {Per::use, Per::file, Per::tree}) {
    if (text == name(known)) return known;
  }
  return wrong(origin, "per: unknown \"{}\"; known: use, file, tree", text);
}

Result<void> rule_key(std::string_view key, const toml::node& node, const Origin& origin,
                      Rule& rule) {
  if (LOTSE_TRY(verdict_key(key, node, origin, rule.verdict))) return {};
  if (key == "name") {
    rule.name = LOTSE_TRY(string(node, "name", origin));
  } else if (key == "topic") {
    rule.topic = LOTSE_TRY(string(node, "topic", origin));
  } else if (key == "in") {
    for (const std::string& text : LOTSE_TRY(strings(node, "in", origin))) {
      const std::optional<Place> place = place_from_name(text);
      if (!place) return wrong(origin, "in: unknown place \"{}\"", text);
      rule.places.push_back(*place);
    }
  } else if (key == "per") {
    rule.per = LOTSE_TRY(per(node, origin));
  } else if (key == "source") {
    rule.source = LOTSE_TRY(string(node, "source", origin));
  } else if (key == "arguments") {
    const auto* value = node.as_integer();
    if (!value || value->get() < 0) return wrong(origin, "arguments: expected a number");
    rule.arguments = value->get();
  } else if (key == "of") {
    rule.callees = LOTSE_TRY(strings(node, "of", origin));
  } else if (key == "not_of") {
    rule.not_callees = LOTSE_TRY(strings(node, "not_of", origin));
  } else if (key == "imports_only") {
    rule.imports_only = LOTSE_TRY(boolean(node, "imports_only", origin));
  } else if (key == "torch_npu") {
    rule.torch_npu = LOTSE_TRY(boolean(node, "torch_npu", origin));
  } else if (key == "needs") {
    rule.needs = LOTSE_TRY(string(node, "needs", origin));
  } else if (key == "assumed") {
    rule.assumed = LOTSE_TRY(boolean(node, "assumed", origin));
  } else if (key == "native") {
    const toml::table* table = node.as_table();
    if (!table) return wrong(origin, "native: expected a table");
    rule.native.emplace();
    for (const auto& [inner, value] : *table) {
      if (!LOTSE_TRY(verdict_key(inner.str(), value, origin, *rule.native))) {
        return wrong(origin, "native: unknown key \"{}\"", inner.str());
      }
    }
  } else if (key != "match" && key != "replace") {
    return wrong(origin, "unknown key \"{}\"", key);
  }
  return {};
}

using Patterns = std::vector<RuleTable::Pattern>;

// match = ["a", "b"], with replace = ["a", "x"] for renames that only exchange a beginning, or
// match = { a = "counterpart of a" }.
Result<Patterns> patterns(const toml::table& table, const Rule& rule, const Origin& origin) {
  const bool renames = rule.verdict.kind == WorkKind::rename;
  Patterns list;
  if (const toml::table* pairs = table["match"].as_table()) {
    for (const auto& [pattern, to] : *pairs) {
      const std::string text = LOTSE_TRY(string(to, "match", origin));
      list.push_back({0, std::string(pattern.str()), renames ? text : "", text});
    }
    return list;
  }
  const toml::node* match = table.get("match");
  if (match == nullptr) return wrong(origin, "match is missing");
  std::vector<std::string> replace;
  if (const toml::node* node = table.get("replace")) {
    replace = LOTSE_TRY(strings(*node, "replace", origin));
    if (replace.size() != 2) return wrong(origin, "replace: expected [from, to]");
  }
  for (const std::string& text : LOTSE_TRY(strings(*match, "match", origin))) {
    RuleTable::Pattern pattern{0, text, "", ""};
    if (!replace.empty()) {
      if (!text.starts_with(replace[0])) {
        return wrong(origin, "match: \"{}\" does not begin with \"{}\"", text, replace[0]);
      }
      pattern.to = replace[1] + text.substr(replace[0].size());
      pattern.counterpart = pattern.to;
    }
    list.push_back(std::move(pattern));
  }
  return list;
}

Result<void> check(const Rule& rule, const Patterns& patterns, const Origin& origin) {
  if (rule.name.empty()) return wrong(origin, "name is missing");
  if (rule.topic.empty()) return wrong(origin, "topic is missing");
  if (rule.places.empty()) return wrong(origin, "in is missing");
  if (rule.source.empty()) return wrong(origin, "source is missing: say where it is documented");
  if (rule.verdict.kind == WorkKind::impossible && rule.verdict.note.empty()) {
    return wrong(origin, "note is missing: say why it is impossible");
  }
  for (const RuleTable::Pattern& pattern : patterns) {
    if (pattern.counterpart.empty() && rule.verdict.counterpart.empty()) {
      return wrong(origin, "\"{}\" has no counterpart", pattern.text);
    }
    const std::string_view body =
        std::string_view(pattern.text).substr(pattern.text.starts_with('*') ? 1 : 0);
    if (pattern.text == "*") continue;
    if (body.empty() || body.substr(0, body.size() - 1).find('*') != std::string_view::npos) {
      return wrong(origin, "match: \"{}\": a star stands at the end, or at both ends",
                   pattern.text);
    }
  }
  return {};
}

}  // namespace

Result<RuleTable> RuleTable::parse(std::string_view text, const std::string& file) {
  const toml::table document = LOTSE_TRY(parse_toml(text, file));
  const toml::array* list = document["rule"].as_array();
  if (!list || document.size() != 1) {
    return fail(ErrorCode::invalid_input, "{}: expected [[rule]] tables and nothing else", file);
  }
  RuleTable result;
  for (const toml::node& node : *list) {
    const toml::table* table = node.as_table();
    if (!table) return fail(ErrorCode::invalid_input, "{}: expected [[rule]] tables", file);
    const Origin origin{file, static_cast<int64_t>(node.source().begin.line),
                        (*table)["name"].value_or(std::string("?"))};
    Rule rule;
    for (const auto& [key, value] : *table) {
      LOTSE_TRY(rule_key(key.str(), value, origin, rule));
    }
    const Patterns patterns = LOTSE_TRY(lotse::patterns(*table, rule, origin));
    LOTSE_TRY(check(rule, patterns, origin));
    result.rules_.push_back(std::move(rule));
    for (Pattern pattern : patterns) {
      pattern.rule = result.rules_.size() - 1;
      result.patterns_.push_back(std::move(pattern));
      result.add(result.patterns_.size() - 1);
    }
  }
  return result;
}

}  // namespace lotse
