#include "engine/grammar/automaton.h"

#include <algorithm>
#include <unordered_set>

namespace lotse {
namespace {

constexpr int64_t kNodeOverhead = 128;
constexpr int64_t kFrameOverhead = 48;

uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccd;
}

uint64_t pack(int32_t high, int32_t low) {
  return uint64_t{static_cast<uint32_t>(high)} << 32 | static_cast<uint32_t>(low);
}

}  // namespace

size_t Automaton::Hash::operator()(const Frame& frame) const {
  return mix(1, pack(frame.back, frame.below));
}

Automaton::Roots::Roots(Automaton& automaton) : automaton_(automaton) {
  automaton_.roots_.push_back(this);
}
Automaton::Roots::~Roots() { std::erase(automaton_.roots_, this); }

Automaton::Automaton(std::shared_ptr<const Network> network, int64_t max_bytes)
    : network_(std::move(network)),
      classes_(static_cast<size_t>(network_->class_count())),
      max_bytes_(max_bytes),
      limit_(max_bytes) {
  clear();
}

void Automaton::clear() {
  nodes_.clear();
  table_.clear();
  by_hash_.clear();
  frames_.assign(1, {-1, -1});
  frame_numbers_.clear();
  bytes_ = 0;
  nodes_.emplace_back();
  nodes_[kDead].plain = kDead;
  table_.assign(classes_, kDead);
}

int32_t Automaton::start() { return intern({{network_->start(), kEmptyStack}}); }

int32_t Automaton::alone(int32_t state) { return intern({{state, kEmptyStack}}); }

int32_t Automaton::after(Configuration configuration) {
  const Frame frame = frames_[static_cast<size_t>(configuration.stack)];
  return intern({{frame.back, frame.below}});
}

int32_t Automaton::push(Frame frame) {
  const auto [place, is_new] =
      frame_numbers_.try_emplace(frame, static_cast<int32_t>(frames_.size()));
  if (is_new) {
    frames_.push_back(frame);
    bytes_ += kFrameOverhead;
  }
  return place->second;
}

// Follows everything that consumes nothing. Keeps the configurations that can consume a byte.
void Automaton::close(const std::vector<Configuration>& from, Node& node) {
  struct Item {
    Configuration at;
    int32_t cover;  // the stack of the leading configuration that this one comes from; or kNone
  };
  constexpr int32_t kNone = -1;
  std::unordered_set<uint64_t> seen;
  std::vector<Item> work;
  for (size_t i = from.size(); i-- > 0;) work.push_back({from[i], kNone});
  while (!work.empty() && seen.size() < kMaxConfigurations * 4 &&
         node.all.size() < kMaxConfigurations) {
    const auto [c, cover] = work.back();
    work.pop_back();
    if (!seen.insert(pack(c.state, c.stack)).second) continue;
    if (network_->is_end(c.state)) {
      if (c.stack == kEmptyStack) {
        node.ends = true;
      } else {
        const Frame frame = frames_[static_cast<size_t>(c.stack)];
        work.push_back({{frame.back, frame.below}, c.stack == cover ? kNone : cover});
      }
    }
    int32_t below = cover;
    if (!network_->bytes(c.state).empty()) {
      node.all.push_back(c);
      if (cover == kNone) {
        node.leading.push_back(c);
        below = c.stack;
      }
    }
    const auto calls = network_->calls(c.state);
    for (size_t i = calls.size(); i-- > 0;) {
      const int32_t stack = calls[i].back < 0 ? c.stack : push({calls[i].back, c.stack});
      work.push_back({{calls[i].start, stack}, below});
    }
    const auto jumps = network_->jumps(c.state);
    for (size_t i = jumps.size(); i-- > 0;) work.push_back({{jumps[i], c.stack}, below});
  }
  std::ranges::sort(node.all);
}

int32_t Automaton::intern(std::vector<Configuration> from) {
  Node node;
  close(from, node);
  return intern_closed(std::move(node));
}

int32_t Automaton::intern_closed(Node node) {
  if (node.all.empty() && !node.ends) return kDead;
  uint64_t hash = node.ends ? 1 : 2;
  for (const Configuration& c : node.all) hash = mix(hash, pack(c.state, c.stack));
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const Node& known = nodes_[static_cast<size_t>(it->second)];
    if (known.ends == node.ends && known.all == node.all) return it->second;
  }
  const auto number = static_cast<int32_t>(nodes_.size());
  by_hash_.emplace(hash, number);
  bytes_ += kNodeOverhead +
            static_cast<int64_t>((node.all.size() + node.leading.size()) * sizeof(Configuration) +
                                 classes_ * sizeof(int32_t));
  nodes_.push_back(std::move(node));
  table_.resize(table_.size() + classes_, kUnknown);
  return number;
}

int32_t Automaton::compute_step(int32_t node, uint8_t byte) {
  forget_if_full(node);
  std::vector<Configuration> next;
  for (const Configuration& c : nodes_[static_cast<size_t>(node)].all) {
    for (const Network::ByteEdge& edge : network_->bytes(c.state)) {
      if (edge.low <= byte && byte <= edge.high) next.push_back({edge.target, c.stack});
    }
  }
  const int32_t target = next.empty() ? kDead : intern(std::move(next));
  table_[static_cast<size_t>(node) * classes_ + network_->byte_class(byte)] = target;
  return target;
}

int32_t Automaton::step_plain(int32_t node) {
  if (const int32_t known = nodes_[static_cast<size_t>(node)].plain; known != kUnknown) {
    return known;
  }
  const CodePointSet plain = CodePointSet{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}.inverted();
  Roots held(*this);
  held.nodes = {node};
  int32_t common = kUnknown;
  const int64_t before = generation_;
  for (const auto& [low, high] : plain.ranges()) {
    for_each_utf8_sequence(low, high, [&](std::span<const ByteRange> sequence) {
      // All bytes of a range must lead to the same node, and that one on.
      held.nodes.resize(1);
      held.nodes.push_back(held.nodes[0]);
      for (const ByteRange& range : sequence) {
        const int64_t generation = generation_;
        const int32_t from = held.nodes.back();
        const int32_t first = step(from, range.low);
        bool same = generation == generation_;
        for (int byte = range.low + 1; byte <= range.high && same; ++byte) {
          const int32_t other = step(from, static_cast<uint8_t>(byte));
          same = generation == generation_ && other == first;
        }
        held.nodes.push_back(same ? first : kDead);
      }
      const int32_t last = held.nodes.back();
      common = common == kUnknown || common == last ? last : kDead;
    });
  }
  if (before != generation_) common = kDead;
  nodes_[static_cast<size_t>(held.nodes[0])].plain = common;
  return common;
}

void Automaton::forget_if_full(int32_t& node) {
  if (bytes_ <= limit_) return;
  std::vector<std::vector<Exported>> kept;
  const Exported current = exported(node);
  for (const Roots* roots : roots_) {
    kept.emplace_back();
    for (const int32_t n : roots->nodes) kept.back().push_back(exported(n));
  }
  clear();
  ++generation_;
  node = imported(current);
  for (size_t i = 0; i < roots_.size(); ++i) {
    for (size_t j = 0; j < kept[i].size(); ++j) roots_[i]->nodes[j] = imported(kept[i][j]);
  }
  limit_ = std::max(max_bytes_, 2 * bytes_);
}

Automaton::Exported Automaton::exported(int32_t node) const {
  const Node& source = nodes_[static_cast<size_t>(node)];
  Exported result;
  result.ends = source.ends;
  for (const Configuration& c : source.all) {
    std::vector<int32_t> backs;
    for (int32_t stack = c.stack; stack != kEmptyStack;) {
      const Frame& frame = frames_[static_cast<size_t>(stack)];
      backs.push_back(frame.back);
      stack = frame.below;
    }
    std::ranges::reverse(backs);
    const bool leads = std::ranges::find(source.leading, c) != source.leading.end();
    result.configurations.push_back({c.state, leads, std::move(backs)});
  }
  return result;
}

int32_t Automaton::imported(const Exported& exported_node) {
  Node node;
  node.ends = exported_node.ends;
  for (const auto& [state, leads, backs] : exported_node.configurations) {
    int32_t stack = kEmptyStack;
    for (const int32_t back : backs) stack = push({back, stack});
    node.all.push_back({state, stack});
    if (leads) node.leading.push_back({state, stack});
  }
  std::ranges::sort(node.all);
  return intern_closed(std::move(node));
}

}  // namespace lotse
