#include "engine/grammar/network.h"

#include <algorithm>
#include <bitset>
#include <map>

namespace lotse {
namespace {

size_t index(int32_t i) { return static_cast<size_t>(i); }

// Numbers of edges, grouped by a state.
class EdgeLists {
 public:
  template <class Edges, class Key>
  EdgeLists(const Edges& edges, int64_t groups, Key key)
      : begin_(static_cast<size_t>(groups) + 1), items_(edges.size()) {
    for (const auto& edge : edges) ++begin_[index(key(edge))];
    uint32_t total = 0;
    for (uint32_t& begin : begin_) total = begin = begin + total;
    for (size_t i = edges.size(); i-- > 0;) {
      items_[--begin_[index(key(edges[i]))]] = static_cast<uint32_t>(i);
    }
  }
  std::span<const uint32_t> of(int32_t group) const {
    return std::span(items_).subspan(begin_[index(group)],
                                     begin_[index(group) + 1] - begin_[index(group)]);
  }

 private:
  std::vector<uint32_t> begin_;
  std::vector<uint32_t> items_;
};

}  // namespace

int32_t NetworkBuilder::add_rule(std::string name) {
  const int32_t start = add_state();
  const int32_t end = add_state();
  rules_.push_back({std::move(name), start, end});
  return static_cast<int32_t>(rules_.size()) - 1;
}

int32_t NetworkBuilder::add_state() {
  if (states_ >= kMaxStates) full_ = true;
  return full_ ? states_ - 1 : states_++;
}

void NetworkBuilder::add(const Edge& edge) {
  if (static_cast<int64_t>(edges_.size()) >= kMaxEdges) full_ = true;
  if (!full_) edges_.push_back(edge);
}

void NetworkBuilder::add_bytes(int32_t from, uint8_t low, uint8_t high, int32_t to) {
  add({from, to, -1, Kind::bytes, low, high});
}

void NetworkBuilder::add_jump(int32_t from, int32_t to) { add({from, to, -1, Kind::jump, 0, 0}); }

void NetworkBuilder::add_call(int32_t from, int32_t rule, int32_t to) {
  add({from, to, rule, Kind::call, 0, 0});
}

void NetworkBuilder::add_text(int32_t from, std::string_view text, int32_t to) {
  if (text.empty()) return add_jump(from, to);
  for (size_t i = 0; i < text.size() && !full_; ++i) {
    const int32_t next = i + 1 == text.size() ? to : add_state();
    const auto byte = static_cast<uint8_t>(text[i]);
    add_bytes(from, byte, byte, next);
    from = next;
  }
}

void NetworkBuilder::add_code_points(int32_t from, const CodePointSet& set, int32_t to) {
  const CodePointSet ascii = {{0, 0x7f}};
  const CodePointSet others = set.without(ascii);
  if (others.ranges().size() < 2) return spell(from, set, to);
  spell(from, set.without(ascii.inverted()), to);
  std::vector<char32_t> borders;
  for (const auto& [low, high] : others.ranges()) borders.insert(borders.end(), {low, high});
  const auto [rule, is_new] = set_rules_.try_emplace(std::move(borders), 0);
  if (is_new) {
    rule->second = add_rule("a set of characters");
    spell(start(rule->second), others, end(rule->second));
  }
  add_call(from, rule->second, to);
}

void NetworkBuilder::spell(int32_t from, const CodePointSet& set, int32_t to) {
  // Sequences that end alike share their ends.
  std::map<std::vector<ByteRange>, int32_t> tails = {{{}, to}};
  for (const auto& [low, high] : set.ranges()) {
    for_each_utf8_sequence(low, high, [&](std::span<const ByteRange> sequence) {
      int32_t next = to;
      std::vector<ByteRange> tail;
      for (size_t i = sequence.size(); i-- > 1;) {
        tail.insert(tail.begin(), sequence[i]);
        const auto [known, is_new] = tails.try_emplace(tail, 0);
        if (is_new) {
          known->second = add_state();
          add_bytes(known->second, sequence[i].low, sequence[i].high, next);
        }
        next = known->second;
      }
      add_bytes(from, sequence[0].low, sequence[0].high, next);
    });
    if (full_) return;
  }
}

// Which states reach the end of their rule; without `by_bytes`, by consuming nothing.
std::vector<bool> NetworkBuilder::states_reaching_an_end(bool by_bytes) const {
  const EdgeLists into(edges_, states_, [](const Edge& e) { return e.to; });
  std::vector<int32_t> rule_of_start(index(states_), -1);
  for (size_t r = 0; r < rules_.size(); ++r) {
    rule_of_start[index(rules_[r].start)] = static_cast<int32_t>(r);
  }
  std::vector<std::vector<uint32_t>> calls_of(rules_.size());
  for (size_t i = 0; i < edges_.size(); ++i) {
    if (edges_[i].kind == Kind::call) {
      calls_of[index(edges_[i].rule)].push_back(static_cast<uint32_t>(i));
    }
  }
  std::vector<bool> reaches(index(states_));
  std::vector<int32_t> work;
  const auto mark = [&](int32_t state) {
    if (reaches[index(state)]) return;
    reaches[index(state)] = true;
    work.push_back(state);
  };
  for (const Rule& rule : rules_) mark(rule.end);
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const uint32_t i : into.of(state)) {
      const Edge& edge = edges_[i];
      const bool passes = edge.kind == Kind::jump || (edge.kind == Kind::bytes && by_bytes) ||
                          (edge.kind == Kind::call && reaches[index(start(edge.rule))]);
      if (passes) mark(edge.from);
    }
    const int32_t rule = rule_of_start[index(state)];
    if (rule < 0) continue;
    for (const uint32_t i : calls_of[index(rule)]) {
      if (reaches[index(edges_[i].to)]) mark(edges_[i].from);
    }
  }
  return reaches;
}

Result<void> NetworkBuilder::refuse_left_recursion(const std::vector<bool>& useful) const {
  const std::vector<bool> empty = states_reaching_an_end(false);
  const EdgeLists out(edges_, states_, [](const Edge& e) { return e.from; });
  // Depth first over states by what consumes nothing. A call goes to the rule's start, and past
  // the rule where that can be empty; a start that is met again on its own path is recursive.
  std::vector<int32_t> rule_of_start(index(states_), -1);
  for (size_t r = 0; r < rules_.size(); ++r) {
    rule_of_start[index(rules_[r].start)] = static_cast<int32_t>(r);
  }
  // The rules that a rule may call first.
  std::vector<std::vector<int32_t>> first(rules_.size());
  std::vector<int32_t> seen(index(states_), -1);
  for (size_t r = 0; r < rules_.size(); ++r) {
    std::vector<int32_t> work = {rules_[r].start};
    while (!work.empty()) {
      const int32_t state = work.back();
      work.pop_back();
      if (seen[index(state)] == static_cast<int32_t>(r) || !useful[index(state)]) continue;
      seen[index(state)] = static_cast<int32_t>(r);
      for (const uint32_t i : out.of(state)) {
        const Edge& edge = edges_[i];
        if (edge.kind == Kind::jump) work.push_back(edge.to);
        if (edge.kind != Kind::call) continue;
        if (!useful[index(start(edge.rule))] || !useful[index(edge.to)]) continue;
        first[r].push_back(edge.rule);
        if (empty[index(start(edge.rule))]) work.push_back(edge.to);
      }
    }
  }
  enum class Colour : uint8_t { white, grey, black };
  std::vector<Colour> colour(rules_.size(), Colour::white);
  std::vector<std::pair<int32_t, size_t>> path;
  for (size_t root = 0; root < rules_.size(); ++root) {
    if (colour[root] != Colour::white) continue;
    path.push_back({static_cast<int32_t>(root), 0});
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      colour[index(rule)] = Colour::grey;
      if (next == first[index(rule)].size()) {
        colour[index(rule)] = Colour::black;
        path.pop_back();
        continue;
      }
      const int32_t called = first[index(rule)][next++];
      if (colour[index(called)] == Colour::grey) {
        return fail(ErrorCode::unsupported,
                    "{} refers to itself before any text (left recursion), which has no end; "
                    "write it as a repetition or let it begin with something else",
                    rules_[index(called)].name);
      }
      if (colour[index(called)] == Colour::white) path.push_back({called, 0});
    }
  }
  return {};
}

std::vector<bool> NetworkBuilder::reachable(const std::vector<bool>& productive) const {
  const EdgeLists out(edges_, states_, [](const Edge& e) { return e.from; });
  std::vector<bool> found(index(states_));
  std::vector<int32_t> work = {rules_[0].start};
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    if (found[index(state)] || !productive[index(state)]) continue;
    found[index(state)] = true;
    for (const uint32_t i : out.of(state)) {
      const Edge& edge = edges_[i];
      if (!productive[index(edge.to)]) continue;
      if (edge.kind != Kind::call) {
        work.push_back(edge.to);
      } else if (productive[index(start(edge.rule))]) {
        work.push_back(start(edge.rule));
        work.push_back(edge.to);
      }
    }
  }
  return found;
}

void NetworkBuilder::set_classes(Network& network) const {
  std::bitset<257> borders;
  for (const auto& edge : network.bytes_.all) {
    borders.set(edge.low);
    borders.set(size_t{edge.high} + 1);
  }
  uint8_t current = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte > 0 && borders.test(byte)) ++current;
    network.classes_[byte] = current;
  }
  network.class_count_ = int64_t{current} + 1;
}

Result<Network> NetworkBuilder::finish() const {
  if (full_) {
    return fail(ErrorCode::limit,
                "the grammar is too large: more than {} states or {} edges; use fewer or smaller "
                "alternatives and repetitions",
                kMaxStates, kMaxEdges);
  }
  const std::vector<bool> productive = states_reaching_an_end(true);
  if (!productive[index(rules_[0].start)]) {
    return fail(
        ErrorCode::invalid_input,
        "no finite text satisfies it (a contradiction, or a recursion without a base case)");
  }
  const std::vector<bool> useful = reachable(productive);
  LOTSE_TRY(refuse_left_recursion(useful));

  Network network;
  std::vector<int32_t> number(index(states_), -1);
  int32_t count = 0;
  for (int32_t s = 0; s < states_; ++s) {
    if (useful[index(s)]) number[index(s)] = count++;
  }
  network.is_end_.resize(index(count));
  for (const Rule& rule : rules_) {
    if (useful[index(rule.end)]) network.is_end_[index(number[index(rule.end)])] = true;
  }
  network.start_ = number[index(rules_[0].start)];
  const EdgeLists out(edges_, states_, [](const Edge& e) { return e.from; });
  // Whether a state does nothing but end its rule: a call that returns there keeps no frame.
  const auto only_ends = [&](int32_t state) {
    for (int hops = 0; hops < 8; ++hops) {
      const auto edges = out.of(state);
      if (edges.empty()) return true;
      if (edges.size() != 1 || edges_[edges[0]].kind != Kind::jump) return false;
      state = edges_[edges[0]].to;
    }
    return false;
  };
  for (int32_t s = 0; s < states_; ++s) {
    if (!useful[index(s)]) continue;
    network.bytes_.begin.push_back(static_cast<uint32_t>(network.bytes_.all.size()));
    network.jumps_.begin.push_back(static_cast<uint32_t>(network.jumps_.all.size()));
    network.calls_.begin.push_back(static_cast<uint32_t>(network.calls_.all.size()));
    for (const uint32_t i : out.of(s)) {
      const Edge& edge = edges_[i];
      if (!useful[index(edge.to)]) continue;
      const int32_t to = number[index(edge.to)];
      if (edge.kind == Kind::bytes) network.bytes_.all.push_back({edge.low, edge.high, to});
      if (edge.kind == Kind::jump) network.jumps_.all.push_back(to);
      if (edge.kind == Kind::call && useful[index(start(edge.rule))]) {
        network.calls_.all.push_back(
            {number[index(start(edge.rule))], only_ends(edge.to) ? -1 : to});
      }
    }
  }
  network.bytes_.begin.push_back(static_cast<uint32_t>(network.bytes_.all.size()));
  network.jumps_.begin.push_back(static_cast<uint32_t>(network.jumps_.all.size()));
  network.calls_.begin.push_back(static_cast<uint32_t>(network.calls_.all.size()));
  set_classes(network);
  return network;
}

}  // namespace lotse
