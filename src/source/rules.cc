#include "source/rules.h"

#include <algorithm>

namespace lotse {
namespace {

// Whether a dotted or qualified name may be cut before `end`: "torch.cuda" of "torch.cuda.Event".
bool is_boundary(std::string_view text, size_t end) {
  return end == text.size() || text[end] == '.' || text.substr(end).starts_with("::");
}

bool is_dotted(Place place) {
  return place == Place::python_name || place == Place::python_decorator ||
         place == Place::cpp_name;
}

}  // namespace

std::string_view name(WorkKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"rename", "rewrite", "impossible"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view name(Per per) {
  constexpr std::array<std::string_view, 3> kNames = {"use", "file", "tree"};
  return kNames[static_cast<size_t>(per)];
}

Hours& Hours::operator+=(Hours other) {
  low += other.low;
  high += other.high;
  return *this;
}

const RuleTable& RuleTable::builtin() {
  static const RuleTable table = [] {
    Result<RuleTable> parsed = parse(builtin_rules(), "nvidia-to-ascend.toml");
    if (!parsed) fmt::print(stderr, "lotse: {}\n", parsed.error().message);
    LOTSE_CHECK(parsed.has_value());
    return *std::move(parsed);
  }();
  return table;
}

void RuleTable::add(size_t pattern) {
  const std::string& text = patterns_[pattern].text;
  for (const Place place : rules_[patterns_[pattern].rule].places) {
    Index& index = indices_[static_cast<size_t>(place)];
    if (text.size() > 2 && text.front() == '*') {
      index.inside.push_back(pattern);
      continue;
    }
    const bool open = text.ends_with('*');
    const std::string literal = text.substr(0, text.size() - (open ? 1 : 0));
    (open ? index.prefix : index.exact)[literal].push_back(pattern);
    index.lengths.insert(literal.size());
    index.beginnings.insert(literal.substr(0, 2));
  }
}

bool RuleTable::applies(const Pattern& pattern, const Use& use) const {
  const Rule& rule = rules_[pattern.rule];
  if (rule.imports_only && use.place == Place::python_name && !use.is_import) return false;
  if (rule.arguments && *rule.arguments != use.arguments) return false;
  const auto has = [&](const std::vector<std::string>& list) {
    return std::ranges::find(list, use.callee) != list.end();
  };
  return (rule.callees.empty() || has(rule.callees)) && !has(rule.not_callees);
}

std::optional<size_t> RuleTable::first_of(
    const std::unordered_map<std::string, std::vector<size_t>>& map, const std::string& key,
    const Use& use) const {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  for (const size_t pattern : found->second) {
    if (applies(patterns_[pattern], use)) return pattern;
  }
  return std::nullopt;
}

std::optional<size_t> RuleTable::find(const Use& use) const {
  const Index& index = indices_[static_cast<size_t>(use.place)];
  const std::string& text = use.text;
  if (index.beginnings.contains(text.substr(0, 2)) || index.beginnings.contains("")) {
    for (const size_t length : index.lengths) {
      if (length > text.size()) continue;
      const std::string head = text.substr(0, length);
      if (length == text.size() || (is_dotted(use.place) && is_boundary(text, length))) {
        if (const auto found = first_of(index.exact, head, use)) return found;
      }
      if (const auto found = first_of(index.prefix, head, use)) return found;
    }
  }
  for (const size_t pattern : index.inside) {
    const std::string& stars = patterns_[pattern].text;
    const std::string_view literal = std::string_view(stars).substr(1, stars.size() - 2);
    if (text.find(literal) != std::string::npos && applies(patterns_[pattern], use)) {
      return pattern;
    }
  }
  return std::nullopt;
}

std::optional<RuleMatch> RuleTable::match(const Use& use, const SourceTarget* target) const {
  const std::optional<size_t> found = find(use);
  if (!found) return std::nullopt;
  const Pattern& pattern = patterns_[*found];
  const Rule& rule = rules_[pattern.rule];
  RuleMatch match{&rule, pattern.text, pattern.to, rule.verdict};
  if (!pattern.counterpart.empty()) match.verdict.counterpart = pattern.counterpart;
  if (rule.needs.empty()) return match;
  const bool has = target == nullptr
                       ? rule.assumed
                       : std::ranges::find(target->dtypes, rule.needs) != target->dtypes.end();
  if (!has) return match;
  if (!rule.native) return std::nullopt;
  match.verdict = *rule.native;
  return match;
}

}  // namespace lotse
