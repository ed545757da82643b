// Deterministic finite automata over code points: what regular expressions, ranges of numbers and
// sets of names become before they are written into a network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/grammar/expression.h"
#include "engine/grammar/network.h"

namespace lotse {

struct Dfa {
  static constexpr int64_t kMaxStates = 20'000;

  struct Edge {
    char32_t low;
    char32_t high;
    int32_t target;
  };
  // State 0 is the first. Edges are ascending and disjoint; no edge: no match.
  std::vector<std::vector<Edge>> edges;
  std::vector<bool> accepting;

  bool accepts(std::string_view utf8) const;
};

// What all automata of one grammar together may cost, in elementary steps: about a second.
struct DfaBudget {
  int64_t left = 8'000'000;
};

enum class RegexMatch {
  whole,     // the expression spans the text
  anywhere,  // the text contains a match
};

// Errors: limit when the automaton exceeds Dfa::kMaxStates or the budget. The expression
// must hold no calls, except where `rules` gives what they stand for.
Result<Dfa> to_dfa(const Expression& expression, RegexMatch match, DfaBudget& budget,
                   const std::function<const Expression&(int32_t)>& rules = {});
Result<Dfa> intersection(const Dfa& a, const Dfa& b, DfaBudget& budget);
Dfa complement(const Dfa& a);
// Texts of `min` to `max` code points (max Expression::kUnbounded: no limit).
Result<Dfa> of_length(int64_t min, int64_t max, DfaBudget& budget);

// Writes a DFA between two states: its text as UTF-8, or as the inside of a JSON string, where
// quotes, backslashes and control characters are escaped (\n and the like in their short form) and
// nothing else.
enum class TextForm { plain, json_string };
void add_dfa(NetworkBuilder& builder, int32_t from, const Dfa& dfa, int32_t to, TextForm form);

}  // namespace lotse
