#include "engine/grammar/matcher.h"

#include <algorithm>

namespace lotse {
namespace {

// Above it a mask is stored as bits.
constexpr size_t kFewTokens = 2048;
constexpr int64_t kEntryOverhead = 128;

}  // namespace

// Gathers the tokens of one mask.
class GrammarMasks::Collector {
 public:
  explicit Collector(const TokenTable& tokens) : tokens_(tokens) {}

  void add_plain(int64_t characters) { mask_.plain = std::max(mask_.plain, characters); }
  void add(std::span<const int32_t> ids) {
    for (const int32_t id : ids) add(id);
  }
  void add(int32_t id) {
    if (!mask_.dense.empty()) {
      mask_.dense[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
      return;
    }
    mask_.few.push_back(id);
    if (mask_.few.size() <= kFewTokens) return;
    const std::vector<int32_t> few = std::move(mask_.few);
    mask_.few.clear();
    mask_.dense.resize(tokens_.mask_words());
    add(few);
  }
  void add(const Mask& other) {
    add_plain(other.plain);
    if (!other.dense.empty()) {
      if (mask_.dense.empty()) {
        const std::vector<int32_t> few = std::move(mask_.few);
        mask_.few.clear();
        mask_.dense = other.dense;
        add(few);
      } else {
        for (size_t i = 0; i < mask_.dense.size(); ++i) mask_.dense[i] |= other.dense[i];
      }
    }
    add(other.few);
  }
  Mask take() {
    mask_.few.shrink_to_fit();
    return std::move(mask_);
  }

 private:
  const TokenTable& tokens_;
  Mask mask_;
};

GrammarMasks::GrammarMasks(const Grammar& grammar, std::shared_ptr<const TokenTable> tokens,
                           MaskLimits limits)
    : tokens_(std::move(tokens)),
      limits_(limits),
      automaton_(grammar.network(), limits.automaton_bytes) {}

// Adds the tokens of the nodes [begin, end) of a trie that `from` allows after what stands above
// `begin`. With `exits`, notes where the rule may end and longer tokens go on.
void GrammarMasks::walk(const TokenTrie& trie, int32_t begin, int32_t end, int32_t from,
                        Collector& out, std::vector<Exit>* exits) {
  if (begin >= end) return;
  const size_t above = size_t{trie.depth[static_cast<size_t>(begin)]} - 1;
  Automaton::Roots path(automaton_);
  path.nodes = {from};
  for (int32_t n = begin; n < end;) {
    const auto at = static_cast<size_t>(n);
    const size_t depth = trie.depth[at] - above;
    const int32_t next = automaton_.step(path.nodes[depth - 1], trie.byte[at]);
    if (next == Automaton::kDead) {
      n = trie.subtree_end[at];
      continue;
    }
    path.nodes.resize(depth);
    path.nodes.push_back(next);
    out.add(trie.tokens_of(n));
    const bool leaf = trie.subtree_end[at] == n + 1;
    if (exits != nullptr && !leaf && automaton_.ends_here(next)) {
      exits->push_back({&trie == &tokens_->trie(true), n});
    }
    n = automaton_.goes_on(next) ? n + 1 : trie.subtree_end[at];
  }
}

// How many characters, whichever, may come from a state, when that alone decides about plain
// tokens; 0 when they must be looked at one by one.
int64_t GrammarMasks::plain_run(int32_t state) {
  Automaton::Roots at(automaton_);
  at.nodes = {automaton_.alone(state)};
  int64_t run = 0;
  while (run < tokens_->longest_plain()) {
    const int64_t generation = automaton_.generation();
    const int32_t before = at.nodes[0];
    const int32_t next = automaton_.step_plain(before);
    if (next == Automaton::kDead) break;
    if (automaton_.ends_here(next)) return 0;
    ++run;
    if (generation == automaton_.generation() && next == before) return tokens_->longest_plain();
    at.nodes[0] = next;
  }
  if (run == 0 || run == tokens_->longest_plain()) return run;
  for (int byte = 0x20; byte < 0x100; ++byte) {
    if (byte == '"' || byte == '\\') continue;
    if (automaton_.step(at.nodes[0], static_cast<uint8_t>(byte)) != Automaton::kDead) return 0;
  }
  return run;
}

const GrammarMasks::StateMask& GrammarMasks::state_mask(int32_t state) {
  const auto known = by_state_.find(state);
  if (known != by_state_.end()) return known->second;
  StateMask result;
  Collector out(*tokens_);
  const int64_t run = plain_run(state);
  out.add_plain(run);
  for (const bool plain : {true, false}) {
    if (plain && run > 0) continue;
    const TokenTrie& trie = tokens_->trie(plain);
    walk(trie, 0, trie.size(), automaton_.alone(state), out, &result.exits);
  }
  result.mask = out.take();
  result.exits.shrink_to_fit();
  mask_bytes_ += count(result.mask) + static_cast<int64_t>(result.exits.size() * sizeof(Exit));
  return by_state_.emplace(state, std::move(result)).first->second;
}

int64_t GrammarMasks::count(const Mask& mask) {
  return kEntryOverhead + static_cast<int64_t>((mask.few.size() + mask.dense.size()) * 4);
}

void GrammarMasks::forget_masks_if_full() {
  if (node_generation_ != automaton_.generation() || mask_bytes_ > limits_.mask_bytes) {
    for (const auto& [node, mask] : by_node_) mask_bytes_ -= count(mask);
    by_node_.clear();
    node_generation_ = automaton_.generation();
  }
  if (mask_bytes_ > limits_.mask_bytes / 2) {
    by_state_.clear();
    mask_bytes_ = 0;
    for (const auto& [node, mask] : by_node_) mask_bytes_ += count(mask);
  }
}

const GrammarMasks::Mask& GrammarMasks::node_mask(int32_t& node) {
  forget_masks_if_full();
  const auto known = by_node_.find(node);
  if (known != by_node_.end()) return known->second;
  // Where each configuration's caller goes on, before anything is walked.
  std::vector<int32_t> states;
  Automaton::Roots held(automaton_);
  held.nodes = {node};
  for (size_t i = 0; i < automaton_.leading(node).size(); ++i) {
    const Automaton::Configuration c = automaton_.leading(node)[i];
    states.push_back(c.state);
    held.nodes.push_back(c.stack == Automaton::kEmptyStack ? Automaton::kDead
                                                           : automaton_.after(c));
  }
  Collector out(*tokens_);
  for (size_t i = 0; i < states.size(); ++i) {
    const StateMask& state = state_mask(states[i]);
    out.add(state.mask);
    if (!automaton_.goes_on(held.nodes[i + 1])) continue;
    for (const Exit& exit : state.exits) {
      const TokenTrie& trie = tokens_->trie(exit.plain);
      walk(trie, exit.node + 1, trie.subtree_end[static_cast<size_t>(exit.node)], held.nodes[i + 1],
           out, nullptr);
    }
  }
  node = held.nodes[0];
  if (node_generation_ != automaton_.generation()) forget_masks_if_full();
  Mask mask = out.take();
  mask_bytes_ += count(mask);
  return by_node_.insert_or_assign(node, std::move(mask)).first->second;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<GrammarMasks> masks)
    : masks_(std::move(masks)), position_(masks_->automaton_) {
  position_.nodes = {masks_->automaton_.start()};
}

void GrammarMatcher::fill_mask(std::span<uint32_t> bits) {
  int32_t node = position_.nodes[0];
  const GrammarMasks::Mask& mask = masks_->node_mask(node);
  if (!mask.dense.empty()) {
    std::ranges::copy(mask.dense, bits.begin());
  } else {
    std::ranges::fill(bits, 0u);
  }
  if (mask.plain > 0) {
    const auto plain = masks_->tokens().plain_mask(mask.plain);
    for (size_t i = 0; i < plain.size(); ++i) bits[i] |= plain[i];
  }
  for (const int32_t id : mask.few) bits[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
}

bool GrammarMatcher::accept(int32_t token) {
  const std::string_view bytes = masks_->tokens().bytes(token);
  return !bytes.empty() && accept_bytes(bytes);
}

bool GrammarMatcher::accept_bytes(std::string_view bytes) {
  Automaton::Roots moved(masks_->automaton_);
  moved.nodes = {position_.nodes[0]};
  for (const char byte : bytes) {
    const int32_t next = masks_->automaton_.step(moved.nodes[0], static_cast<uint8_t>(byte));
    if (next == Automaton::kDead) return false;
    moved.nodes[0] = next;
  }
  position_.nodes = moved.nodes;
  return true;
}

bool GrammarMatcher::can_end() const { return masks_->automaton_.ends_here(position_.nodes[0]); }

bool GrammarMatcher::is_finished() const {
  return can_end() && !masks_->automaton_.goes_on(position_.nodes[0]);
}

bool grammar_accepts(const Grammar& grammar, std::string_view text) {
  Automaton automaton(grammar.network(), int64_t{64} << 20);
  Automaton::Roots at(automaton);
  at.nodes = {automaton.start()};
  for (const char byte : text) {
    at.nodes[0] = automaton.step(at.nodes[0], static_cast<uint8_t>(byte));
    if (at.nodes[0] == Automaton::kDead) return false;
  }
  return automaton.ends_here(at.nodes[0]);
}

}  // namespace lotse
