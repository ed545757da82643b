// A network at run time: its configurations (a state and a stack of returns), sets of which are
// numbered as they are met, with their transitions remembered. So a text that was seen before costs
// a table look-up a byte.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/grammar/network.h"

namespace lotse {

// Not thread-safe. When what is remembered exceeds its limit it is forgotten, except for the nodes
// that somebody holds (see Roots), which are renumbered.
class Automaton {
 public:
  // A text of which configurations beyond this number are possible at once loses the last ones:
  // what is then allowed is still right, but not everything.
  static constexpr size_t kMaxConfigurations = 8192;
  static constexpr int32_t kDead = 0;
  static constexpr int32_t kEmptyStack = 0;

  struct Configuration {
    int32_t state;
    int32_t stack;
    auto operator<=>(const Configuration&) const = default;
  };

  Automaton(std::shared_ptr<const Network> network, int64_t max_bytes);

  // Numbers of nodes that stay valid (and may change) while it lives.
  class Roots {
   public:
    explicit Roots(Automaton& automaton);
    ~Roots();
    Roots(const Roots&) = delete;
    Roots& operator=(const Roots&) = delete;
    std::vector<int32_t> nodes;

   private:
    Automaton& automaton_;
  };

  // Before the first byte.
  int32_t start();
  // `state` alone, with nothing to return to; ends_here() of what follows then tells that its rule
  // ends.
  int32_t alone(int32_t state);
  // Where a configuration goes on when its rule ends.
  int32_t after(Configuration configuration);
  // After one more byte; kDead when it must not come. A byte that was not seen before may renumber
  // the nodes.
  int32_t step(int32_t node, uint8_t byte) {
    const int32_t next = table_[static_cast<size_t>(node) * classes_ + network_->byte_class(byte)];
    return next >= 0 ? next : compute_step(node, byte);
  }
  bool ends_here(int32_t node) const { return nodes_[static_cast<size_t>(node)].ends; }
  // Whether a byte may follow.
  bool goes_on(int32_t node) const { return !nodes_[static_cast<size_t>(node)].all.empty(); }
  // The configurations that decide what may come: the others follow from them by calls and jumps,
  // so that alone() of the leading states covers them.
  std::span<const Configuration> leading(int32_t node) const {
    return nodes_[static_cast<size_t>(node)].leading;
  }
  // Where every character that stands in a JSON string as it is leads, the same for all of them;
  // kDead when there is no such node. May renumber the nodes.
  int32_t step_plain(int32_t node);

  // Changes whenever nodes are renumbered.
  int64_t generation() const { return generation_; }
  int64_t memory_bytes() const { return bytes_; }

 private:
  static constexpr int32_t kUnknown = -1;
  struct Node {
    std::vector<Configuration> all;  // ascending; states with edges on bytes only
    std::vector<Configuration> leading;
    bool ends = false;
    int32_t plain = kUnknown;
  };
  struct Frame {
    int32_t back;
    int32_t below;
    auto operator<=>(const Frame&) const = default;
  };
  struct Hash {
    size_t operator()(const Frame& frame) const;
  };
  // A node that outlives the tables.
  struct Exported {
    struct Kept {
      int32_t state;
      bool leads;
      std::vector<int32_t> backs;  // of the stack's frames, the lowest first
    };
    std::vector<Kept> configurations;
    bool ends = false;
  };

  int32_t compute_step(int32_t node, uint8_t byte);
  int32_t intern(std::vector<Configuration> from);
  int32_t intern_closed(Node node);
  void close(const std::vector<Configuration>& from, Node& node);
  int32_t push(Frame frame);
  void clear();
  void forget_if_full(int32_t& node);
  Exported exported(int32_t node) const;
  int32_t imported(const Exported& node);

  std::shared_ptr<const Network> network_;
  size_t classes_;
  int64_t max_bytes_;
  int64_t limit_;
  int64_t bytes_ = 0;
  int64_t generation_ = 0;
  std::vector<Node> nodes_;
  std::vector<int32_t> table_;  // a row of targets a node, by the class of the byte
  std::unordered_multimap<uint64_t, int32_t> by_hash_;
  std::vector<Frame> frames_;  // 0: the empty stack
  std::unordered_map<Frame, int32_t, Hash> frame_numbers_;
  std::vector<Roots*> roots_;
};

}  // namespace lotse
