// What every kind of grammar is compiled to: a recursive transition network over bytes. Each rule
// is an automaton whose edges consume a byte of a range, or call a rule and go on where it ends.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/grammar/code_points.h"

namespace lotse {

// Immutable. From every state the end of its rule can be reached, no rule can call itself before a
// byte is consumed, and everything is reachable from rule 0.
class Network {
 public:
  struct ByteEdge {
    uint8_t low;
    uint8_t high;
    int32_t target;
  };
  struct Call {
    int32_t start;  // of the rule
    int32_t back;   // −1: the caller ends where the rule ends
  };

  int32_t start() const { return start_; }
  int64_t states() const { return static_cast<int64_t>(is_end_.size()); }
  bool is_end(int32_t state) const { return is_end_[static_cast<size_t>(state)]; }
  std::span<const ByteEdge> bytes(int32_t state) const { return bytes_.of(state); }
  std::span<const int32_t> jumps(int32_t state) const { return jumps_.of(state); }
  std::span<const Call> calls(int32_t state) const { return calls_.of(state); }
  // Bytes of one class are on the same edges everywhere.
  uint8_t byte_class(uint8_t byte) const { return classes_[byte]; }
  int64_t class_count() const { return class_count_; }

 private:
  friend class NetworkBuilder;
  // The edges of all states, one state after the other.
  template <class T>
  struct Edges {
    std::vector<uint32_t> begin;
    std::vector<T> all;
    std::span<const T> of(int32_t state) const {
      const auto s = static_cast<size_t>(state);
      return std::span(all).subspan(begin[s], begin[s + 1] - begin[s]);
    }
  };

  int32_t start_ = 0;
  std::vector<bool> is_end_;
  Edges<ByteEdge> bytes_;
  Edges<int32_t> jumps_;
  Edges<Call> calls_;
  std::array<uint8_t, 256> classes_{};
  int64_t class_count_ = 0;
};

// Collects rules. Past its limits it collects no more, and finish() reports it.
class NetworkBuilder {
 public:
  static constexpr int64_t kMaxStates = 1'000'000;
  static constexpr int64_t kMaxEdges = 3'000'000;

  // Edges must not leave a rule's end, nor lead from one rule into another.
  int32_t add_rule(std::string name);
  int32_t start(int32_t rule) const { return rules_[static_cast<size_t>(rule)].start; }
  int32_t end(int32_t rule) const { return rules_[static_cast<size_t>(rule)].end; }
  int32_t add_state();

  void add_bytes(int32_t from, uint8_t low, uint8_t high, int32_t to);
  void add_text(int32_t from, std::string_view text, int32_t to);
  void add_jump(int32_t from, int32_t to);
  void add_call(int32_t from, int32_t rule, int32_t to);
  // UTF-8 of every member. Where there are many beyond ASCII, they become a rule of their own, the
  // same for all edges with them.
  void add_code_points(int32_t from, const CodePointSet& set, int32_t to);

  bool full() const { return full_; }
  // Errors: the limits are exceeded; no finite text satisfies rule 0; left recursion, which names
  // the rule.
  Result<Network> finish() const;

 private:
  struct Rule {
    std::string name;
    int32_t start;
    int32_t end;
  };
  enum class Kind : uint8_t { bytes, jump, call };
  struct Edge {
    int32_t from;
    int32_t to;
    int32_t rule;
    Kind kind;
    uint8_t low;
    uint8_t high;
  };

  void add(const Edge& edge);
  void spell(int32_t from, const CodePointSet& set, int32_t to);
  std::vector<bool> states_reaching_an_end(bool by_bytes) const;
  Result<void> refuse_left_recursion(const std::vector<bool>& useful) const;
  std::vector<bool> reachable(const std::vector<bool>& productive) const;
  void set_classes(Network& network) const;

  std::vector<Rule> rules_;
  std::vector<Edge> edges_;
  std::map<std::vector<char32_t>, int32_t> set_rules_;  // by the borders of their ranges
  int32_t states_ = 0;
  bool full_ = false;
};

}  // namespace lotse
