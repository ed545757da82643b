// What Lotse knows about the way from Nvidia to Ascend: data/nvidia-to-ascend.toml, built into the
// program. Its format stands at its head.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "source/use.h"

namespace lotse {

// What must be done about a use.
enum class WorkKind {
  rename,      // another name does the same; the patch may write it
  rewrite,     // it can be done on Ascend, otherwise
  impossible,  // the hardware or its software cannot do it: do without
};
std::string_view name(WorkKind kind);

// An estimate of an engineer's time, not a measurement.
struct Hours {
  double low = 0;
  double high = 0;

  Hours& operator+=(Hours other);
};

// How often the hours are spent: at every use, once a file, or once for all of a topic's uses.
enum class Per { use, file, tree };
std::string_view name(Per per);

struct Verdict {
  WorkKind kind = WorkKind::rewrite;
  std::string counterpart;  // on Ascend; of a pattern with its own, that one
  std::string note;         // why it is impossible, what to mind
  Hours hours;
};

struct Rule {
  std::string name;
  std::string topic;  // for summaries: "Triton kernels"
  std::vector<Place> places;
  Verdict verdict;
  Per per = Per::use;
  std::string source;                // of the knowledge: title and section of a public document
  std::optional<int64_t> arguments;  // only calls with so many
  std::vector<std::string> callees;  // only strings that are their arguments; empty: any
  std::vector<std::string> not_callees;
  bool imports_only = false;  // only where it is imported
  bool torch_npu = false;     // a file that is renamed needs `import torch_npu`
  // The dtype that the target must multiply natively for this to be no problem, or another one
  // (`native`). Without a target: a problem, unless it is `assumed`.
  std::string needs;
  bool assumed = false;
  std::optional<Verdict> native;
};

// A rule with the pattern by which it knows a use.
struct RuleMatch {
  const Rule* rule = nullptr;
  std::string_view pattern;  // "torch.cuda.synchronize", "cuda:*"
  std::string_view to;       // what a rename writes for the pattern; empty where nothing
  Verdict verdict;
};

// What rules ask about the target. `dtypes` of the matrix unit (ChipProfile::matmul).
struct SourceTarget {
  std::string title;
  std::vector<std::string> dtypes;
};

class RuleTable {
 public:
  // Errors: invalid_input, naming `origin`, the line or the rule, and the key.
  static Result<RuleTable> parse(std::string_view text, const std::string& origin);
  // The built-in table. It is part of the program: a mistake in it is a programmer's.
  static const RuleTable& builtin();

  // The rule with the longest pattern that fits, the first of several. `target` may be null.
  std::optional<RuleMatch> match(const Use& use, const SourceTarget* target) const;

  std::span<const Rule> rules() const { return rules_; }

  struct Pattern {
    size_t rule = 0;
    std::string text;         // with its stars
    std::string to;           // of a rename
    std::string counterpart;  // where the pattern has its own
  };
  std::span<const Pattern> patterns() const { return patterns_; }

 private:
  struct Index {
    std::unordered_map<std::string, std::vector<size_t>> exact;   // "name"
    std::unordered_map<std::string, std::vector<size_t>> prefix;  // "name*"
    std::vector<size_t> inside;                                   // "*name*"
    std::set<size_t, std::greater<>> lengths;
    std::set<std::string> beginnings;  // first two bytes, to refuse most uses at once
  };

  void add(size_t pattern);
  bool applies(const Pattern& pattern, const Use& use) const;
  std::optional<size_t> first_of(const std::unordered_map<std::string, std::vector<size_t>>& map,
                                 const std::string& key, const Use& use) const;
  std::optional<size_t> find(const Use& use) const;

  std::vector<Rule> rules_;
  std::vector<Pattern> patterns_;
  std::array<Index, kPlaces> indices_;
};

// data/nvidia-to-ascend.toml.
std::string_view builtin_rules();

}  // namespace lotse
