#include "engine/grammar/dfa.h"

#include <algorithm>
#include <map>

#include "base/utf8.h"

namespace lotse {
namespace {

using Kind = Expression::Kind;

constexpr int64_t kMaxNfaStates = 200'000;

size_t index(int32_t i) { return static_cast<size_t>(i); }

std::unexpected<Error> too_complex() {
  return fail(ErrorCode::limit,
              "the expression is too complex: it needs more than {} states; use fewer or smaller "
              "repetitions",
              Dfa::kMaxStates);
}

// The intermediate automaton (Thompson's construction).
struct Nfa {
  struct Edge {
    char32_t low;
    char32_t high;
    int32_t target;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<int32_t> jumps;
    std::vector<int32_t> jumps_at_begin;
    std::vector<int32_t> jumps_at_end;
  };
  std::vector<State> states;

  bool full() const { return static_cast<int64_t>(states.size()) > kMaxNfaStates; }
  int32_t add() {
    states.emplace_back();
    return static_cast<int32_t>(states.size()) - 1;
  }
  void jump(int32_t from, int32_t to) { states[index(from)].jumps.push_back(to); }
};

class NfaWriter {
 public:
  NfaWriter(Nfa& nfa, const std::function<const Expression&(int32_t)>& rules)
      : nfa_(nfa), rules_(rules) {}

  void write(const Expression& e, int32_t from, int32_t to) {
    if (nfa_.full()) return;
    switch (e.kind) {
      case Kind::set:
        for (const auto& [low, high] : e.set.ranges()) {
          nfa_.states[index(from)].edges.push_back({low, high, to});
        }
        return;
      case Kind::sequence:
        return write_sequence(e.parts, from, to);
      case Kind::alternation:
        for (const Expression& part : e.parts) {
          const int32_t start = nfa_.add();
          nfa_.jump(from, start);
          write(part, start, to);
        }
        return;
      case Kind::repeat:
        return write_repeat(e, from, to);
      case Kind::call:
        return write(rules_(e.rule), from, to);
      case Kind::begin:
        nfa_.states[index(from)].jumps_at_begin.push_back(to);
        return;
      case Kind::end:
        nfa_.states[index(from)].jumps_at_end.push_back(to);
        return;
    }
  }

 private:
  void write_sequence(const std::vector<Expression>& parts, int32_t from, int32_t to) {
    if (parts.empty()) return nfa_.jump(from, to);
    for (size_t i = 0; i < parts.size(); ++i) {
      const int32_t next = i + 1 == parts.size() ? to : nfa_.add();
      write(parts[i], from, next);
      from = next;
    }
  }

  void write_repeat(const Expression& e, int32_t from, int32_t to) {
    for (int64_t i = 0; i < e.min && !nfa_.full(); ++i) {
      const int32_t next = nfa_.add();
      write(e.parts[0], from, next);
      from = next;
    }
    if (e.max == Expression::kUnbounded) {
      const int32_t loop = nfa_.add();
      const int32_t body = nfa_.add();
      nfa_.jump(from, loop);
      nfa_.jump(loop, body);
      write(e.parts[0], body, loop);
      return nfa_.jump(loop, to);
    }
    for (int64_t i = e.min; i < e.max && !nfa_.full(); ++i) {
      const int32_t body = nfa_.add();
      const int32_t next = nfa_.add();
      nfa_.jump(from, to);
      nfa_.jump(from, body);
      write(e.parts[0], body, next);
      from = next;
    }
    nfa_.jump(from, to);
  }

  Nfa& nfa_;
  const std::function<const Expression&(int32_t)>& rules_;
};

void add_edge(std::vector<Dfa::Edge>& edges, char32_t low, char32_t high, int32_t target) {
  if (!edges.empty() && edges.back().target == target && edges.back().high + 1 == low) {
    edges.back().high = high;
  } else {
    edges.push_back({low, high, target});
  }
}

// Subset construction. A set is closed over jumps; those at the end of the text only tell whether
// the set accepts.
class Determiniser {
 public:
  Determiniser(const Nfa& nfa, int32_t start, int32_t accept, DfaBudget& budget)
      : nfa_(nfa), start_(start), accept_(accept), seen_(nfa.states.size()), left_(budget.left) {}

  Result<Dfa> run() {
    intern({start_}, true);
    for (size_t i = 0; i < sets_.size(); ++i) {
      expand(i);
      if (static_cast<int64_t>(sets_.size()) > Dfa::kMaxStates || left_ < 0) {
        return too_complex();
      }
    }
    return std::move(dfa_);
  }

 private:
  std::vector<int32_t> closure(const std::vector<int32_t>& from, bool at_begin, bool at_end) {
    ++stamp_;
    std::vector<int32_t> found;
    std::vector<int32_t> work;
    const auto visit = [&](int32_t state) {
      if (seen_[index(state)] == stamp_) return;
      seen_[index(state)] = stamp_;
      work.push_back(state);
    };
    for (const int32_t state : from) visit(state);
    while (!work.empty()) {
      const int32_t state = work.back();
      work.pop_back();
      found.push_back(state);
      --left_;
      for (const int32_t to : nfa_.states[index(state)].jumps) visit(to);
      if (at_begin) {
        for (const int32_t to : nfa_.states[index(state)].jumps_at_begin) visit(to);
      }
      if (at_end) {
        for (const int32_t to : nfa_.states[index(state)].jumps_at_end) visit(to);
      }
    }
    std::ranges::sort(found);
    return found;
  }

  int32_t intern(std::vector<int32_t> targets, bool at_begin) {
    std::ranges::sort(targets);
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    if (!at_begin) {
      const auto known = by_targets_.find(targets);
      if (known != by_targets_.end()) return known->second;
    }
    const std::vector<int32_t> ended = closure(targets, at_begin, true);
    std::vector<int32_t> set = closure(targets, at_begin, false);
    const bool accepts = std::ranges::binary_search(ended, accept_);
    std::erase_if(set, [&](int32_t s) { return nfa_.states[index(s)].edges.empty(); });
    auto key = set;
    key.push_back(accepts ? -1 : -2);
    const auto [place, is_new] =
        by_set_.try_emplace(std::move(key), static_cast<int32_t>(sets_.size()));
    if (is_new) {
      sets_.push_back(std::move(set));
      dfa_.edges.emplace_back();
      dfa_.accepting.push_back(accepts);
    }
    if (!at_begin) by_targets_.emplace(std::move(targets), place->second);
    return place->second;
  }

  void expand(size_t i) {
    struct Border {
      char32_t at;
      bool begins;
      int32_t target;
    };
    std::vector<Border> borders;
    for (const int32_t state : sets_[i]) {
      for (const Nfa::Edge& edge : nfa_.states[index(state)].edges) {
        borders.push_back({edge.low, true, edge.target});
        borders.push_back({edge.high + 1, false, edge.target});
      }
    }
    left_ -= static_cast<int64_t>(borders.size());
    std::ranges::sort(borders, {}, &Border::at);
    std::vector<int32_t> active;
    for (size_t b = 0; b < borders.size() && left_ >= 0;) {
      const char32_t low = borders[b].at;
      for (; b < borders.size() && borders[b].at == low; ++b) {
        if (borders[b].begins) {
          active.push_back(borders[b].target);
        } else {
          active.erase(std::ranges::find(active, borders[b].target));
        }
      }
      left_ -= static_cast<int64_t>(active.size());
      if (active.empty()) continue;
      const int32_t target = intern(active, false);
      add_edge(dfa_.edges[i], low, borders[b].at - 1, target);
    }
  }

  const Nfa& nfa_;
  int32_t start_;
  int32_t accept_;
  Dfa dfa_;
  std::vector<std::vector<int32_t>> sets_;
  std::map<std::vector<int32_t>, int32_t> by_set_;
  std::map<std::vector<int32_t>, int32_t> by_targets_;
  std::vector<int32_t> seen_;
  int64_t& left_;  // of the budget
  int32_t stamp_ = 0;
};

// Without the edges that lead to no accepting state.
void trim(Dfa& dfa) {
  std::vector<std::vector<int32_t>> into(dfa.edges.size());
  for (size_t s = 0; s < dfa.edges.size(); ++s) {
    for (const Dfa::Edge& edge : dfa.edges[s]) {
      into[index(edge.target)].push_back(static_cast<int32_t>(s));
    }
  }
  std::vector<bool> live = dfa.accepting;
  std::vector<int32_t> work;
  for (size_t s = 0; s < live.size(); ++s) {
    if (live[s]) work.push_back(static_cast<int32_t>(s));
  }
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const int32_t from : into[index(state)]) {
      if (live[index(from)]) continue;
      live[index(from)] = true;
      work.push_back(from);
    }
  }
  for (auto& edges : dfa.edges) {
    std::erase_if(edges, [&](const Dfa::Edge& edge) { return !live[index(edge.target)]; });
  }
}

}  // namespace

bool Dfa::accepts(std::string_view utf8) const {
  int32_t state = 0;
  for (size_t at = 0; at < utf8.size();) {
    const Utf8Char c = decode_utf8(utf8, at);
    at += static_cast<size_t>(c.length);
    int32_t next = -1;
    for (const Edge& edge : edges[index(state)]) {
      if (edge.low <= c.code_point && c.code_point <= edge.high) next = edge.target;
    }
    if (next < 0 || !c.valid) return false;
    state = next;
  }
  return accepting[index(state)];
}

Result<Dfa> to_dfa(const Expression& expression, RegexMatch match, DfaBudget& budget,
                   const std::function<const Expression&(int32_t)>& rules) {
  if (budget.left < 0) return too_complex();
  Nfa nfa;
  const int32_t start = nfa.add();
  const int32_t accept = nfa.add();
  const auto loop = [&](int32_t state) {
    const CodePointSet all = CodePointSet::all();
    for (const auto& [low, high] : all.ranges()) {
      nfa.states[index(state)].edges.push_back({low, high, state});
    }
  };
  int32_t body = start;
  if (match == RegexMatch::anywhere) {
    body = nfa.add();
    nfa.jump(start, body);
    loop(start);
    loop(accept);
  }
  NfaWriter(nfa, rules).write(expression, body, accept);
  budget.left -= static_cast<int64_t>(nfa.states.size());
  if (nfa.full() || budget.left < 0) return too_complex();
  Dfa dfa = LOTSE_TRY(Determiniser(nfa, start, accept, budget).run());
  trim(dfa);
  return dfa;
}

Result<Dfa> intersection(const Dfa& a, const Dfa& b, DfaBudget& budget) {
  Dfa result;
  std::map<std::pair<int32_t, int32_t>, int32_t> numbers;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  const auto number = [&](int32_t x, int32_t y) {
    const auto [place, is_new] = numbers.try_emplace({x, y}, static_cast<int32_t>(pairs.size()));
    if (is_new) pairs.push_back({x, y});
    return place->second;
  };
  number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    budget.left -= static_cast<int64_t>(a.edges[index(x)].size() + b.edges[index(y)].size()) + 1;
    if (static_cast<int64_t>(pairs.size()) > Dfa::kMaxStates || budget.left < 0) {
      return too_complex();
    }
    result.accepting.push_back(a.accepting[index(x)] && b.accepting[index(y)]);
    std::vector<Dfa::Edge> edges;
    const auto& left = a.edges[index(x)];
    const auto& right = b.edges[index(y)];
    for (size_t l = 0, r = 0; l < left.size() && r < right.size();) {
      const char32_t low = std::max(left[l].low, right[r].low);
      const char32_t high = std::min(left[l].high, right[r].high);
      if (low <= high) add_edge(edges, low, high, number(left[l].target, right[r].target));
      if (left[l].high < right[r].high) {
        ++l;
      } else {
        ++r;
      }
    }
    result.edges.push_back(std::move(edges));
  }
  trim(result);
  return result;
}

Dfa complement(const Dfa& a) {
  Dfa result;
  const auto sink = static_cast<int32_t>(a.edges.size());
  for (size_t s = 0; s < a.edges.size(); ++s) {
    result.accepting.push_back(!a.accepting[s]);
    char32_t next = 0;
    std::vector<Dfa::Edge> all;
    for (const Dfa::Edge& edge : a.edges[s]) {
      if (next < edge.low) add_edge(all, next, edge.low - 1, sink);
      add_edge(all, edge.low, edge.high, edge.target);
      next = edge.high + 1;
    }
    if (next <= 0x10ffff) add_edge(all, next, 0x10ffff, sink);
    result.edges.push_back(std::move(all));
  }
  result.accepting.push_back(true);
  result.edges.push_back({{0, 0x10ffff, sink}});
  trim(result);
  return result;
}

Result<Dfa> of_length(int64_t min, int64_t max, DfaBudget& budget) {
  Dfa result;
  const int64_t last = max == Expression::kUnbounded ? min : max;
  budget.left -= last;
  if (last >= Dfa::kMaxStates || budget.left < 0) return too_complex();
  for (int64_t i = 0; i <= last; ++i) {
    result.accepting.push_back(i >= min);
    const bool loops = i == last && max == Expression::kUnbounded;
    result.edges.emplace_back();
    if (loops || i < last) {
      result.edges.back().push_back({0, 0x10ffff, static_cast<int32_t>(loops ? i : i + 1)});
    }
  }
  return result;
}

namespace {

void add_escaped(NetworkBuilder& builder, int32_t from, const CodePointSet& set, int32_t to) {
  constexpr std::string_view kShort = "\b\t\n\f\r\"\\";
  constexpr std::string_view kLetters = "btnfr\"\\";
  const CodePointSet special = {{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
  builder.add_code_points(from, set.without(special), to);
  const CodePointSet escaped = set.without(special.inverted());
  if (escaped.empty()) return;
  const int32_t backslash = builder.add_state();
  builder.add_bytes(from, '\\', '\\', backslash);
  for (const auto& [low, high] : escaped.ranges()) {
    for (char32_t c = low; c <= high; ++c) {
      const size_t at = kShort.find(static_cast<char>(c));
      if (at != std::string_view::npos) {
        builder.add_text(backslash, kLetters.substr(at, 1), to);
        continue;
      }
      const std::string code = fmt::format("u{:04x}", static_cast<uint32_t>(c));
      builder.add_text(backslash, code, to);
      const std::string upper = fmt::format("u{:04X}", static_cast<uint32_t>(c));
      if (upper != code) builder.add_text(backslash, upper, to);
    }
  }
}

}  // namespace

void add_dfa(NetworkBuilder& builder, int32_t from, const Dfa& dfa, int32_t to, TextForm form) {
  std::vector<int32_t> states;
  for (size_t s = 0; s < dfa.edges.size() && !builder.full(); ++s) {
    states.push_back(builder.add_state());
  }
  if (builder.full()) return;
  builder.add_jump(from, states[0]);
  for (size_t s = 0; s < dfa.edges.size() && !builder.full(); ++s) {
    std::map<int32_t, std::vector<CodePointRange>> by_target;
    for (const Dfa::Edge& edge : dfa.edges[s])
      by_target[edge.target].push_back({edge.low, edge.high});
    for (const auto& [target, ranges] : by_target) {
      const CodePointSet set(ranges);
      if (form == TextForm::plain) {
        builder.add_code_points(states[s], set, states[index(target)]);
      } else {
        add_escaped(builder, states[s], set, states[index(target)]);
      }
    }
    if (dfa.accepting[s]) builder.add_jump(states[s], to);
  }
}

}  // namespace lotse
